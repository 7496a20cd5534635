//! A store in memory, strict about `Create`, and breakable.

use mosaic_store::{Error, Events, Row, StateStore, Table, Write};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

type Rows = BTreeMap<(Table, String), (u64, Vec<u8>)>;

#[derive(Debug)]
pub(crate) struct TestStore {
    rows: Mutex<(u64, Rows)>,
    broken: AtomicBool,
    head: watch::Sender<u64>,
}

impl Default for TestStore {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            broken: AtomicBool::new(false),
            head: watch::Sender::new(0),
        }
    }
}

impl TestStore {
    /// From now on nothing can be written.
    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl StateStore for TestStore {
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::Write("the disk is full".into()));
        }
        let mut rows = self.rows.lock().unwrap();
        let mut next = rows.clone();
        for write in batch {
            match write {
                Write::Create(table, key, value) => {
                    if let Some((_, value)) = next.1.get(&(table, key.clone())) {
                        let value = value.clone();
                        return Err(Error::Exists { key, value });
                    }
                    next.0 += 1;
                    let number = next.0;
                    next.1.insert((table, key), (number, value));
                }
                Write::Put(table, key, value) => {
                    next.0 += 1;
                    let number = next.0;
                    let row = next.1.entry((table, key)).or_insert((number, vec![]));
                    row.1 = value;
                }
                Write::Delete(table, key) => {
                    next.1.remove(&(table, key));
                }
                Write::Append(_) | Write::ForgetEvents(_) => unreachable!("no events here"),
            }
        }
        *rows = next;
        Ok(Vec::new())
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let rows = self.rows.lock().unwrap();
        let row = rows.1.get(&(table, key.to_owned()));
        Ok(row.map(|(_, value)| value.clone()))
    }

    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let rows = self.rows.lock().unwrap();
        let mut found: Vec<Row> = rows
            .1
            .iter()
            .filter(|((of, _), (number, _))| {
                *of == table && before.is_none_or(|before| *number < before)
            })
            .map(|((_, key), (number, value))| Row {
                number: *number,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.number));
        found.truncate(limit);
        Ok(found)
    }

    async fn events(&self, _: u64, _: usize) -> Result<Events, Error> {
        Ok(Events::default())
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }
}
