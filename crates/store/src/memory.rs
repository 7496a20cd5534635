//! The store's fake: in memory, stricter than the real one, and breakable on demand.

use crate::{Error, Events, Row, StateStore, Table, Write};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A store for tests. It panics where a caller does what never makes sense.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    head: watch::Sender<u64>,
}

#[derive(Debug, Default, Clone)]
struct State {
    rows: BTreeMap<(Table, String), (u64, Vec<u8>)>,
    events: BTreeMap<u64, Vec<u8>>,
    last_row: u64,
    last_event: u64,
    broken_writes: bool,
    broken_reads: bool,
    good_puts: Option<usize>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            head: watch::Sender::new(0),
        }
    }
}

impl MemoryStore {
    /// Makes every write fail until [`mend`](Self::mend).
    pub fn break_writes(&self) {
        self.lock().broken_writes = true;
    }

    /// Makes every read fail until [`mend`](Self::mend).
    pub fn break_reads(&self) {
        self.lock().broken_reads = true;
    }

    /// Makes one batch with a `Put` fail: the one after `good` that do not.
    pub fn fail_put_after(&self, good: usize) {
        self.lock().good_puts = Some(good);
    }

    /// Makes everything work again.
    pub fn mend(&self) {
        let mut state = self.lock();
        (state.broken_writes, state.broken_reads) = (false, false);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Error> {
        let state = self.lock();
        if state.broken_reads {
            Err(Error::Read("broken by the test".into()))
        } else {
            Ok(read(&state))
        }
    }
}

impl State {
    fn is_this_puts_turn(&mut self, batch: &[Write]) -> bool {
        if !batch.iter().any(|write| matches!(write, Write::Put(..))) {
            return false;
        }
        let turn = self.good_puts == Some(0);
        self.good_puts = self.good_puts.and_then(|good| good.checked_sub(1));
        turn
    }

    fn apply(&mut self, write: Write, sequences: &mut Vec<u64>) -> Result<(), Error> {
        match write {
            Write::Put(table, key, value) => self.put(table, key, value),
            Write::Create(table, key, value) => {
                if let Some((_, value)) = self.rows.get(&(table, key.clone())) {
                    return Err(Error::Exists {
                        key,
                        value: value.clone(),
                    });
                }
                self.put(table, key, value);
            }
            Write::Delete(table, key) => drop(self.rows.remove(&(table, key))),
            Write::Append(value) => {
                self.last_event += 1;
                self.events.insert(self.last_event, value);
                sequences.push(self.last_event);
            }
            Write::ForgetEvents(last) => {
                assert!(
                    last <= self.last_event,
                    "nobody forgets what has not happened"
                );
                self.events.retain(|sequence, _| *sequence > last);
            }
        }
        Ok(())
    }

    fn put(&mut self, table: Table, key: String, value: Vec<u8>) {
        assert!(!key.is_empty(), "a row without a key cannot be found again");
        let next = self.last_row + 1;
        let row = self.rows.entry((table, key)).or_insert((next, Vec::new()));
        row.1 = value;
        self.last_row = self.last_row.max(row.0);
    }
}

#[async_trait::async_trait]
impl StateStore for MemoryStore {
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
        assert!(!batch.is_empty(), "an empty batch is a mistake");
        let mut state = self.lock();
        if state.broken_writes || state.is_this_puts_turn(&batch) {
            return Err(Error::Write("broken by the test".into()));
        }
        let (mut after, mut sequences) = (state.clone(), Vec::new());
        for write in batch {
            after.apply(write, &mut sequences)?;
        }
        *state = after;
        let newest = state.last_event;
        self.head
            .send_if_modified(|head| std::mem::replace(head, newest) != newest);
        Ok(sequences)
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read(|state| {
            state
                .rows
                .get(&(table, key.to_owned()))
                .map(|(_, value)| value.clone())
        })
    }

    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        assert!(limit > 0, "a scan for nothing is a mistake");
        self.read(|state| {
            let below = |number: u64| before.is_none_or(|before| number < before);
            let rows = state
                .rows
                .iter()
                .filter(|((of, _), (number, _))| *of == table && below(*number));
            let row = |((_, key), (number, value)): (&(Table, String), &(u64, Vec<u8>))| Row {
                number: *number,
                key: key.clone(),
                value: value.clone(),
            };
            let mut rows: Vec<Row> = rows.map(row).collect();
            rows.sort_by_key(|row| std::cmp::Reverse(row.number));
            rows.truncate(limit);
            rows
        })
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        assert!(limit > 0, "a read of nothing is a mistake");
        self.read(|state| {
            let first_kept = state
                .events
                .keys()
                .next()
                .copied()
                .unwrap_or(state.last_event + 1);
            let events = state.events.range(after.saturating_add(1)..).take(limit);
            Events {
                first_kept,
                events: events
                    .map(|(sequence, value)| (*sequence, value.clone()))
                    .collect(),
            }
        })
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }
}
