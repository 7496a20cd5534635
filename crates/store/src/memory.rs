//! The strict fake of [`StateStore`], for the tests of every crate. Keeps nothing on disk.
//!
//! It is stricter than the embedded store: it panics on what only a mistake of the caller
//! can send (an empty batch, an empty key, a limit of 0). It breaks and mends on request.

use crate::{Error, Events, Row, StateStore, Table, Write};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A store that lasts as long as the value. For tests only.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
    head: watch::Sender<u64>,
    writes_broken: AtomicBool,
    reads_broken: AtomicBool,
}

#[derive(Debug, Default)]
struct Contents {
    rows: BTreeMap<(Table, String), Row>,
    last_number: u64,
    events: BTreeMap<u64, Vec<u8>>,
    head: u64,
    puts_before_fault: Option<usize>,
}

/// A fault that a test asked for.
#[derive(Debug, thiserror::Error)]
#[error("the store was broken by the test")]
struct Broken;

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every write fail, writing nothing, until [`Self::mend`].
    pub fn break_writes(&self) {
        self.writes_broken.store(true, Ordering::SeqCst);
    }

    /// Makes every read fail until [`Self::mend`].
    pub fn break_reads(&self) {
        self.reads_broken.store(true, Ordering::SeqCst);
    }

    /// Makes one batch with a `Put` fail, writing nothing: the one after the next `good` such.
    pub fn fail_put_after(&self, good: usize) {
        self.contents().puts_before_fault = Some(good);
    }

    /// Makes reads and writes work again.
    pub fn mend(&self) {
        self.contents().puts_before_fault = None;
        self.writes_broken.store(false, Ordering::SeqCst);
        self.reads_broken.store(false, Ordering::SeqCst);
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readable(&self) -> Result<MutexGuard<'_, Contents>, Error> {
        if self.reads_broken.load(Ordering::SeqCst) {
            return Err(Error::Read(Box::new(Broken)));
        }
        Ok(self.contents())
    }
}

#[async_trait::async_trait]
impl StateStore for MemoryStore {
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
        check(&batch);
        if self.writes_broken.load(Ordering::SeqCst) {
            return Err(Error::Write(Box::new(Broken)));
        }
        let mut contents = self.contents();
        if contents.is_put_to_fail(&batch) {
            return Err(Error::Write(Box::new(Broken)));
        }
        if let Some(conflict) = contents.conflict(&batch) {
            return Err(conflict);
        }
        let sequences = batch
            .into_iter()
            .filter_map(|write| contents.write(write))
            .collect();
        // Under the lock, so that the head never steps back.
        self.head.send_if_modified(|head| {
            let moved = *head != contents.head;
            *head = contents.head;
            moved
        });
        Ok(sequences)
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        assert!(!key.is_empty(), "a test reads an empty key");
        let contents = self.readable()?;
        let row = contents.rows.get(&(table, key.to_owned()));
        Ok(row.map(|row| row.value.clone()))
    }

    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        assert!(limit > 0, "a test scans for no rows");
        let contents = self.readable()?;
        let in_table = contents.rows.iter().filter(|((of, _), _)| *of == table);
        let mut rows: Vec<Row> = in_table
            .map(|(_, row)| row)
            .filter(|row| before.is_none_or(|before| row.number < before))
            .cloned()
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.number));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        assert!(limit > 0, "a test reads no events");
        let contents = self.readable()?;
        let oldest = contents.events.keys().next().copied();
        let later = contents.events.iter().filter(|(at, _)| **at > after);
        Ok(Events {
            first_kept: oldest.unwrap_or(contents.head + 1),
            events: later
                .take(limit)
                .map(|(at, value)| (*at, value.clone()))
                .collect(),
        })
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }
}

/// Panics on what only a mistake of the caller can send.
fn check(batch: &[Write]) {
    assert!(!batch.is_empty(), "a test writes an empty batch");
    for write in batch {
        match write {
            Write::Put(_, key, _) | Write::Create(_, key, _) | Write::Delete(_, key) => {
                assert!(!key.is_empty(), "a test writes an empty key");
            }
            Write::Append(_) | Write::ForgetEvents(_) => {}
        }
    }
}

impl Contents {
    /// Counts a batch with a `Put` down to the one that [`MemoryStore::fail_put_after`] meant.
    fn is_put_to_fail(&mut self, batch: &[Write]) -> bool {
        if !batch.iter().any(|write| matches!(write, Write::Put(..))) {
            return false;
        }
        let left = self.puts_before_fault;
        self.puts_before_fault = left.and_then(|good| good.checked_sub(1));
        left == Some(0)
    }

    /// Finds the first `Create` whose key is taken, by a row or by an earlier write of `batch`.
    fn conflict(&self, batch: &[Write]) -> Option<Error> {
        let mut written: HashMap<(Table, &str), Option<&Vec<u8>>> = HashMap::new();
        for write in batch {
            match write {
                Write::Put(table, key, value) => {
                    written.insert((*table, key), Some(value));
                }
                Write::Delete(table, key) => {
                    written.insert((*table, key), None);
                }
                Write::Create(table, key, value) => {
                    let stored = || self.rows.get(&(*table, key.clone())).map(|row| &row.value);
                    let there = written.get(&(*table, key.as_str())).copied();
                    if let Some(there) = there.unwrap_or_else(stored) {
                        let (key, value) = (key.clone(), there.clone());
                        return Some(Error::Exists { key, value });
                    }
                    written.insert((*table, key), Some(value));
                }
                Write::Append(_) | Write::ForgetEvents(_) => {}
            }
        }
        None
    }

    /// Does one write that cannot fail any more. Returns the sequence of an appended event.
    fn write(&mut self, write: Write) -> Option<u64> {
        match write {
            Write::Put(table, key, value) | Write::Create(table, key, value) => {
                self.put(table, key, value);
            }
            Write::Delete(table, key) => {
                self.rows.remove(&(table, key));
            }
            Write::Append(value) => {
                self.head += 1;
                self.events.insert(self.head, value);
                return Some(self.head);
            }
            Write::ForgetEvents(last) => self.events.retain(|at, _| *at > last),
        }
        None
    }

    fn put(&mut self, table: Table, key: String, value: Vec<u8>) {
        if let Some(row) = self.rows.get_mut(&(table, key.clone())) {
            row.value = value;
            return;
        }
        self.last_number += 1;
        let number = self.last_number;
        let row = Row {
            number,
            key: key.clone(),
            value,
        };
        self.rows.insert((table, key), row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> Vec<Write> {
        vec![Write::Put(Table::Meta, "key".into(), value.into())]
    }

    #[tokio::test]
    async fn broken_writes_write_nothing_until_mended() {
        let store = MemoryStore::new();
        store.break_writes();
        assert!(matches!(
            store.apply(row("lost")).await,
            Err(Error::Write(_))
        ));
        assert_eq!(store.get(Table::Meta, "key").await.unwrap(), None);
        store.mend();
        store.apply(row("kept")).await.unwrap();
    }

    #[tokio::test]
    async fn one_put_fails_after_the_good_ones() {
        let store = MemoryStore::new();
        store.fail_put_after(1);
        store.apply(row("good")).await.unwrap();
        let event = vec![Write::Append(Vec::new())];
        store.apply(event).await.unwrap();
        assert!(store.apply(row("bad")).await.is_err());
        store.apply(row("good again")).await.unwrap();
    }

    #[tokio::test]
    async fn broken_reads_fail_while_writes_go_on() {
        let store = MemoryStore::new();
        store.break_reads();
        store.apply(row("kept")).await.unwrap();
        assert!(matches!(
            store.get(Table::Meta, "key").await,
            Err(Error::Read(_))
        ));
        assert!(matches!(
            store.scan(Table::Meta, None, 1).await,
            Err(Error::Read(_))
        ));
        assert!(matches!(store.events(0, 1).await, Err(Error::Read(_))));
        store.mend();
        let value = store.get(Table::Meta, "key").await.unwrap();
        assert_eq!(value.as_deref(), Some(&b"kept"[..]));
    }

    #[tokio::test]
    #[should_panic(expected = "empty key")]
    async fn an_empty_key_is_a_mistake() {
        let write = Write::Put(Table::Meta, String::new(), Vec::new());
        let _ = MemoryStore::new().apply(vec![write]).await;
    }

    #[tokio::test]
    #[should_panic(expected = "no rows")]
    async fn a_limit_of_zero_is_a_mistake() {
        let _ = MemoryStore::new().scan(Table::Meta, None, 0).await;
    }
}
