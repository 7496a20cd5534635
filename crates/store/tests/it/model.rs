//! Random batches against a plain model, on both stores.

use crate::writes::rows;
use mosaic_store::{EmbeddedStore, Error, MemoryStore, StateStore, Table, Write};
use proptest::prelude::*;

/// Rows in the order they were made, and events from sequence 1; `None` once forgotten.
#[derive(Debug, Default, Clone)]
struct Model {
    rows: Vec<(String, Vec<u8>)>,
    events: Vec<Option<Vec<u8>>>,
}

impl Model {
    /// The store in its plainest form: try on a copy, keep the copy if all went well.
    fn apply(&mut self, batch: Vec<Write>) -> Option<Vec<u64>> {
        let mut next = self.clone();
        let mut sequences = Vec::new();
        for write in batch {
            sequences.extend(next.one(write)?);
        }
        *self = next;
        Some(sequences)
    }

    /// `None` for a conflict.
    fn one(&mut self, write: Write) -> Option<Option<u64>> {
        let position = |rows: &[(String, _)], key: &str| rows.iter().position(|row| row.0 == key);
        match write {
            Write::Create(_, key, _) if position(&self.rows, &key).is_some() => return None,
            Write::Put(_, key, value) | Write::Create(_, key, value) => {
                match position(&self.rows, &key) {
                    Some(at) => self.rows[at].1 = value,
                    None => self.rows.push((key, value)),
                }
            }
            Write::Delete(_, key) => self.rows.retain(|row| row.0 != key),
            Write::Append(value) => {
                self.events.push(Some(value));
                return Some(Some(self.events.len() as u64));
            }
            Write::ForgetEvents(last) => {
                let upto = usize::try_from(last).unwrap().min(self.events.len());
                self.events[..upto].fill(None);
            }
        }
        Some(None)
    }

    fn kept(&self) -> Vec<(u64, Vec<u8>)> {
        let numbered = (1..).zip(&self.events);
        numbered
            .filter_map(|(at, event)| Some((at, event.clone()?)))
            .collect()
    }
}

fn write() -> impl Strategy<Value = Write> {
    let key = || "[a-d]";
    let value = || proptest::collection::vec(b'a'..=b'z', 0..3);
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| Write::Put(Table::Agents, key, value)),
        (key(), value()).prop_map(|(key, value)| Write::Create(Table::Agents, key, value)),
        key().prop_map(|key| Write::Delete(Table::Agents, key)),
        value().prop_map(Write::Append),
        (0u64..12).prop_map(Write::ForgetEvents),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Vec<Write>>> {
    proptest::collection::vec(proptest::collection::vec(write(), 1..6), 1..12)
}

async fn agrees(store: &dyn StateStore, batches: Vec<Vec<Write>>) {
    let mut model = Model::default();
    for batch in batches {
        let expected = model.apply(batch.clone());
        match store.apply(batch).await {
            Ok(sequences) => assert_eq!(Some(sequences), expected),
            Err(Error::Exists { .. }) => assert_eq!(expected, None),
            Err(other) => panic!("{other}"),
        }
        let newest_first = model.rows.iter().rev();
        let expected: Vec<_> = newest_first
            .map(|(key, value)| (key.clone(), String::from_utf8(value.clone()).unwrap()))
            .collect();
        assert_eq!(rows(store).await, expected);
        let head = model.events.len() as u64;
        let read = store.events(0, 1_000).await.unwrap();
        let first = model.kept().first().map_or(head + 1, |event| event.0);
        assert_eq!((read.first_kept, read.events), (first, model.kept()));
        assert_eq!(*store.head().borrow(), head);
    }
}

fn run(check: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(check);
}

proptest! {
    // Each case of the real store syncs some ten times; this many take a second or two.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_store_does_what_the_model_does(batches in batches()) {
        run(agrees(&MemoryStore::new(), batches));
    }

    #[test]
    fn the_embedded_store_does_what_the_model_does(batches in batches()) {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
        run(agrees(&store, batches));
    }
}
