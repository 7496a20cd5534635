//! What every store does. Each function is one claim, run on the fake and on the real one.

use crate::writes::{append, create, delete, numbers, put, rows, sequences};
use mosaic_store::{EmbeddedStore, Error, MemoryStore, StateStore, Table, Write};
use std::sync::Arc;

macro_rules! on_both {
    ($($claim:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Arc::new(super::MemoryStore::new())).await;
            })*
        }
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let folder = tempfile::tempdir().unwrap();
                let (store, _) = super::EmbeddedStore::open(folder.path()).unwrap();
                super::$claim(super::Arc::new(store)).await;
            })*
        }
    };
}

on_both! {
    a_conflict_in_a_batch_writes_nothing_of_it,
    a_conflict_returns_what_is_there,
    create_sees_the_writes_before_it_in_its_batch,
    put_keeps_the_number,
    a_row_made_again_has_a_new_number,
    numbers_rise_across_tables,
    tables_do_not_share_keys,
    delete_of_a_missing_row_succeeds,
    scan_is_newest_first_and_pages_by_number,
    values_are_exact_bytes,
    keys_are_exact_text,
    sequences_are_gapless_under_many_writers,
    one_writer_wins_a_create,
    events_resume_from_any_cursor,
    a_cursor_past_the_head_reads_nothing,
    forgetting_moves_the_first_kept_and_renumbers_nothing,
    forgetting_ahead_of_the_head_takes_no_later_event,
    head_wakes_and_is_never_behind_an_answer,
    a_bulk_of_events_wakes_once,
    a_new_watch_has_no_news,
}

type Store = Arc<dyn StateStore>;

async fn a_conflict_in_a_batch_writes_nothing_of_it(store: Store) {
    store.apply(vec![put("a", "1")]).await.unwrap();
    let batch = vec![put("a", "2"), append("x"), put("b", "1"), create("a", "3")];
    assert!(matches!(
        store.apply(batch).await,
        Err(Error::Exists { .. })
    ));
    assert_eq!(rows(&*store).await, [("a".into(), "1".into())]);
    assert_eq!(sequences(&*store).await, Vec::<u64>::new());
    assert_eq!(store.apply(vec![append("y")]).await.unwrap(), [1]);
}

async fn a_conflict_returns_what_is_there(store: Store) {
    store.apply(vec![create("a", "first")]).await.unwrap();
    let Err(Error::Exists { key, value }) = store.apply(vec![create("a", "second")]).await else {
        panic!("the second must be refused");
    };
    assert_eq!((key.as_str(), value.as_slice()), ("a", &b"first"[..]));
}

async fn create_sees_the_writes_before_it_in_its_batch(store: Store) {
    store.apply(vec![put("a", "old")]).await.unwrap();
    let again = vec![delete("a"), create("a", "new")];
    store.apply(again).await.unwrap();
    assert_eq!(rows(&*store).await, [("a".into(), "new".into())]);

    let twice = vec![put("b", "1"), create("b", "2")];
    let Err(Error::Exists { value, .. }) = store.apply(twice).await else {
        panic!("its own row must refuse it");
    };
    assert_eq!(value, b"1");
    assert_eq!(store.get(Table::Agents, "b").await.unwrap(), None);
}

async fn put_keeps_the_number(store: Store) {
    store
        .apply(vec![put("a", "1"), put("b", "1")])
        .await
        .unwrap();
    let before = numbers(&*store).await;
    store.apply(vec![put("a", "2")]).await.unwrap();
    assert_eq!(numbers(&*store).await, before);
    let expected = [("b".into(), "1".into()), ("a".into(), "2".into())];
    assert_eq!(rows(&*store).await, expected);
}

async fn a_row_made_again_has_a_new_number(store: Store) {
    store.apply(vec![put("a", "1")]).await.unwrap();
    let first = numbers(&*store).await[0];
    store.apply(vec![delete("a")]).await.unwrap();
    store.apply(vec![put("a", "1")]).await.unwrap();
    assert!(numbers(&*store).await[0] > first);
}

async fn numbers_rise_across_tables(store: Store) {
    let token = Write::Put(Table::Tokens, "t".into(), vec![]);
    store
        .apply(vec![put("a", "1"), token, put("b", "1")])
        .await
        .unwrap();
    let token = store.scan(Table::Tokens, None, 1).await.unwrap()[0].number;
    let agents = numbers(&*store).await;
    assert!(agents[1] < token && token < agents[0], "{agents:?} {token}");
}

async fn tables_do_not_share_keys(store: Store) {
    let tables = [
        Table::Agents,
        Table::Claims,
        Table::Commands,
        Table::Tokens,
        Table::Meta,
    ];
    let one_each = |table: Table| Write::Create(table, "k".into(), format!("{table:?}").into());
    store.apply(tables.map(one_each).to_vec()).await.unwrap();
    for table in tables {
        let value = store.get(table, "k").await.unwrap().unwrap();
        assert_eq!(value, format!("{table:?}").into_bytes());
        assert_eq!(store.scan(table, None, 9).await.unwrap().len(), 1);
    }
}

async fn delete_of_a_missing_row_succeeds(store: Store) {
    store.apply(vec![delete("nothing")]).await.unwrap();
}

async fn scan_is_newest_first_and_pages_by_number(store: Store) {
    for key in ["a", "b", "c", "d", "e"] {
        store.apply(vec![put(key, "")]).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.scan(Table::Agents, before, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page.into_iter().map(|row| row.key));
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    let all = store.scan(Table::Agents, Some(u64::MAX), usize::MAX).await;
    assert_eq!(all.unwrap().len(), 5);
}

async fn values_are_exact_bytes(store: Store) {
    let every_byte: Vec<u8> = (0..=255).collect();
    for value in [vec![], vec![0], every_byte] {
        let row = Write::Put(Table::Meta, "v".into(), value.clone());
        let batch = vec![row, Write::Append(value.clone())];
        let sequence = store.apply(batch).await.unwrap()[0];
        let read = store.get(Table::Meta, "v").await.unwrap();
        assert_eq!(read, Some(value.clone()));
        let read = store.events(sequence - 1, 1).await.unwrap().events;
        assert_eq!(read, [(sequence, value)]);
    }
}

async fn keys_are_exact_text(store: Store) {
    let keys = ["a", "A", "a ", "a\0b", "ä", "a\u{308}", "%", "'; --"];
    let batch = keys.iter().map(|key| create(key, key)).collect();
    store.apply(batch).await.unwrap();
    for key in keys {
        let value = store.get(Table::Agents, key).await.unwrap();
        assert_eq!(value.as_deref(), Some(key.as_bytes()));
    }
}

async fn sequences_are_gapless_under_many_writers(store: Store) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut own = Vec::new();
            for event in 0..8 {
                own.extend(store.apply(vec![append("x"), append("y")]).await.unwrap());
                // Refused batches between them must not take sequences away.
                let refused = vec![append("z"), create("taken", "")];
                let made = store.apply(refused).await;
                own.extend(made.unwrap_or_default());
                assert!(own.is_sorted(), "writer {writer}, event {event}: {own:?}");
            }
            own
        });
    }
    let mut given: Vec<u64> = writers.join_all().await.concat();
    given.sort_unstable();
    let expected: Vec<u64> = (1..=64 * 8 * 2 + 1).collect();
    assert_eq!(given, expected);
    assert_eq!(sequences(&*store).await, expected);
}

async fn one_writer_wins_a_create(store: Store) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32 {
        let store = Arc::clone(&store);
        let value = writer.to_string();
        writers.spawn(async move {
            let outcome = store.apply(vec![create("claim", &value)]).await;
            match outcome {
                Ok(_) => (true, value),
                Err(Error::Exists { value, .. }) => (false, String::from_utf8(value).unwrap()),
                Err(other) => panic!("{other}"),
            }
        });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.iter().filter(|(won, _)| *won).count(), 1);
    let winner = &outcomes.iter().find(|(won, _)| *won).unwrap().1;
    assert!(outcomes.iter().all(|(_, value)| value == winner));
}

async fn events_resume_from_any_cursor(store: Store) {
    let batch = (1..=10).map(|event| append(&event.to_string())).collect();
    assert_eq!(store.apply(batch).await.unwrap(), Vec::from_iter(1..=10));
    for cursor in 0..=10 {
        let read = store.events(cursor, 3).await.unwrap();
        assert_eq!(read.first_kept, 1);
        let expected: Vec<(u64, Vec<u8>)> = (cursor + 1..=10)
            .take(3)
            .map(|event| (event, event.to_string().into_bytes()))
            .collect();
        assert_eq!(read.events, expected);
    }
}

async fn a_cursor_past_the_head_reads_nothing(store: Store) {
    store.apply(vec![append("x")]).await.unwrap();
    for cursor in [1, 2, u64::MAX] {
        assert!(store.events(cursor, 9).await.unwrap().events.is_empty());
    }
}

async fn forgetting_moves_the_first_kept_and_renumbers_nothing(store: Store) {
    assert_eq!(store.events(0, 9).await.unwrap().first_kept, 1);
    store.apply(vec![append("x"); 4]).await.unwrap();
    store.apply(vec![Write::ForgetEvents(2)]).await.unwrap();
    assert_eq!(store.events(0, 9).await.unwrap().first_kept, 3);
    assert_eq!(sequences(&*store).await, [3, 4]);

    store.apply(vec![Write::ForgetEvents(4)]).await.unwrap();
    let none = store.events(0, 9).await.unwrap();
    assert_eq!((none.first_kept, none.events), (5, vec![]));
    assert_eq!(*store.head().borrow(), 4);
    assert_eq!(store.apply(vec![append("x")]).await.unwrap(), [5]);
}

async fn forgetting_ahead_of_the_head_takes_no_later_event(store: Store) {
    let batch = vec![append("x"), Write::ForgetEvents(u64::MAX), append("y")];
    assert_eq!(store.apply(batch).await.unwrap(), [1, 2]);
    assert_eq!(sequences(&*store).await, [2]);
}

async fn head_wakes_and_is_never_behind_an_answer(store: Store) {
    let mut head = store.head();
    assert_eq!(*head.borrow(), 0);
    let watcher = tokio::spawn(async move { *head.wait_for(|head| *head == 20).await.unwrap() });
    for _ in 0..20 {
        let sequence = store.apply(vec![append("x")]).await.unwrap()[0];
        assert!(*store.head().borrow() >= sequence);
    }
    assert_eq!(watcher.await.unwrap(), 20);
}

async fn a_bulk_of_events_wakes_once(store: Store) {
    let mut head = store.head();
    store.apply(vec![append("x"); 500]).await.unwrap();
    assert!(head.has_changed().unwrap());
    assert_eq!(*head.borrow_and_update(), 500);
    store.apply(vec![put("a", "1")]).await.unwrap();
    assert!(!head.has_changed().unwrap(), "a row is no event");
}

async fn a_new_watch_has_no_news(store: Store) {
    store.apply(vec![append("x")]).await.unwrap();
    let head = store.head();
    assert!(!head.has_changed().unwrap());
    assert_eq!(*head.borrow(), 1);
}
