//! What every store does, run against each.

use mosaic_store::{EmbeddedStore, Error, MemoryStore, Row, StateStore, Table, Write};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

macro_rules! contract {
    ($($(#[$doc:meta])* async fn $name:ident($store:ident) $body:block)*) => {
        $(async fn $name($store: Arc<dyn StateStore>) $body)*

        mod embedded {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
                super::$name(Arc::new(store)).await;
            })*
        }

        mod memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(Arc::new(MemoryStore::default())).await;
            })*
        }
    };
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(Table::Agents, key.into(), value.into())
}

fn create(key: &str, value: &str) -> Write {
    Write::Create(Table::Agents, key.into(), value.into())
}

fn append(value: &str) -> Write {
    Write::Append(value.into())
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

contract! {
    async fn a_batch_is_written_whole_or_not_at_all(store) {
        store.apply(vec![create("taken", "first")]).await.unwrap();
        let refused = store.apply(vec![put("new", "x"), append("e"), create("taken", "second"), append("f")]).await;
        let Err(Error::Exists { key, value }) = refused else { panic!("{refused:?}") };
        assert_eq!((key.as_str(), value.as_slice()), ("taken", b"first".as_slice()));
        assert_eq!(store.get(Table::Agents, "new").await.unwrap(), None);
        assert_eq!(store.get(Table::Agents, "taken").await.unwrap(), Some(b"first".to_vec()));
        assert!(store.events(0, 10).await.unwrap().events.is_empty());
        assert_eq!(store.apply(vec![append("g")]).await.unwrap(), [1]);
    }

    async fn values_come_back_as_the_exact_bytes(store) {
        for value in [vec![], vec![0, 255, 10, 13], vec![b'x'; 100_000]] {
            store.apply(vec![Write::Put(Table::Meta, "v".into(), value.clone())]).await.unwrap();
            assert_eq!(store.get(Table::Meta, "v").await.unwrap(), Some(value));
        }
        store.apply(vec![Write::Delete(Table::Meta, "v".into()), Write::Delete(Table::Meta, "none".into())]).await.unwrap();
        assert_eq!(store.get(Table::Meta, "v").await.unwrap(), None);
    }

    async fn a_scan_goes_from_new_to_old_and_pages(store) {
        for key in ["a", "b", "c", "d"] {
            store.apply(vec![put(key, "1"), Write::Put(Table::Tokens, key.into(), vec![])]).await.unwrap();
        }
        store.apply(vec![put("a", "2")]).await.unwrap(); // keeps its number
        let first = store.scan(Table::Agents, None, 3).await.unwrap();
        assert_eq!(keys(&first), ["d", "c", "b"]);
        let rest = store.scan(Table::Agents, Some(first[2].number), 3).await.unwrap();
        assert_eq!((keys(&rest), rest[0].value.as_slice()), (vec!["a"], b"2".as_slice()));
        assert!(store.scan(Table::Agents, Some(rest[0].number), 3).await.unwrap().is_empty());
    }

    async fn sixty_four_writers_get_sequences_without_a_gap(store) {
        let writers = (0..64).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut sequences = Vec::new();
                for _ in 0..10 {
                    let batch = vec![append("a"), put(&format!("w{writer}"), "x"), append("b")];
                    let given = store.apply(batch).await.unwrap();
                    assert_eq!(given[0] + 1, given[1], "events of one batch stand together");
                    sequences.extend(given);
                }
                sequences
            })
        });
        let mut all = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            all.extend(writer.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (1..=1280).collect::<Vec<u64>>());
        assert_eq!(*store.head().borrow(), 1280);
    }

    async fn events_resume_at_any_cursor(store) {
        for event in ["1", "2", "3", "4", "5"] {
            store.apply(vec![append(event)]).await.unwrap();
        }
        for after in 0..=5_u64 {
            let read = store.events(after, 2).await.unwrap();
            let wanted: Vec<u64> = (after + 1..=5).take(2).collect();
            assert_eq!(read.events.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), wanted);
            assert!(read.events.iter().all(|(sequence, value)| sequence.to_string().as_bytes() == value));
        }
    }

    async fn forgetting_moves_what_is_kept_and_renumbers_nothing(store) {
        store.apply(vec![append("1"), append("2"), append("3")]).await.unwrap();
        assert_eq!(store.events(0, 9).await.unwrap().first_kept, 1);
        store.apply(vec![Write::ForgetEvents(2)]).await.unwrap();
        assert_eq!(store.events(0, 9).await.unwrap().first_kept, 3);
        store.apply(vec![Write::ForgetEvents(3)]).await.unwrap();
        let none = store.events(0, 9).await.unwrap();
        assert_eq!((none.first_kept, none.events.len()), (4, 0));
        assert_eq!(store.apply(vec![append("4")]).await.unwrap(), [4]);
    }

    async fn a_new_event_wakes_the_watcher(store) {
        let mut head = store.head();
        assert_eq!(*head.borrow_and_update(), 0);
        store.apply(vec![put("k", "no event")]).await.unwrap();
        assert!(!head.has_changed().unwrap());
        store.apply(vec![append("e"), append("f")]).await.unwrap();
        head.changed().await.unwrap();
        assert_eq!(*head.borrow(), 2);
    }
}

fn write() -> impl Strategy<Value = Write> {
    let key = || prop::sample::select(vec!["a", "b", "c"]).prop_map(String::from);
    let value = || prop::collection::vec(any::<u8>(), 0..4);
    prop_oneof![
        (key(), value()).prop_map(|(k, v)| Write::Put(Table::Agents, k, v)),
        (key(), value()).prop_map(|(k, v)| Write::Create(Table::Agents, k, v)),
        key().prop_map(|k| Write::Delete(Table::Agents, k)),
        value().prop_map(Write::Append),
    ]
}

/// What a store holds, as plainly as it can be said.
#[derive(Default, Clone, PartialEq, Debug)]
struct Model {
    rows: BTreeMap<String, Vec<u8>>,
    events: Vec<Vec<u8>>,
}

impl Model {
    fn apply(&self, batch: &[Write]) -> Option<Self> {
        let mut after = self.clone();
        for write in batch.iter().cloned() {
            match write {
                Write::Put(_, key, value) => drop(after.rows.insert(key, value)),
                Write::Create(_, key, _) if after.rows.contains_key(&key) => return None,
                Write::Create(_, key, value) => drop(after.rows.insert(key, value)),
                Write::Delete(_, key) => drop(after.rows.remove(&key)),
                Write::Append(value) => after.events.push(value),
                Write::ForgetEvents(_) => unreachable!("not generated"),
            }
        }
        Some(after)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn both_stores_do_what_the_model_does(batches in prop::collection::vec(prop::collection::vec(write(), 1..5), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (embedded, _) = EmbeddedStore::open(folder.path()).unwrap();
        let stores: [Arc<dyn StateStore>; 2] = [Arc::new(embedded), Arc::new(MemoryStore::default())];
        for store in stores {
            runtime.block_on(async {
                let mut model = Model::default();
                for batch in &batches {
                    let after = model.apply(batch);
                    assert_eq!(store.apply(batch.clone()).await.is_ok(), after.is_some());
                    model = after.unwrap_or(model);
                }
                let rows = store.scan(Table::Agents, None, 99).await.unwrap();
                let events = store.events(0, 999).await.unwrap().events;
                let held = Model {
                    rows: rows.into_iter().map(|row| (row.key, row.value)).collect(),
                    events: events.into_iter().map(|(_, value)| value).collect(),
                };
                assert_eq!(held, model);
            });
        }
    }
}
