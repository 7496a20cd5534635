//! What only a store in a file can do: come back, be shared, and keep others out.

use crate::writes::{append, create, numbers, put, rows, sequences};
use mosaic_store::{EmbeddedStore, Freshness, StateStore, Table, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn reopening_continues_sequence_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let batch = vec![put("a", "1"), append("x"), append("y")];
    store.apply(batch).await.unwrap();
    let number = numbers(&store).await[0];
    let emptied = Write::Delete(Table::Agents, "a".into());
    let forgotten = Write::ForgetEvents(2);
    store.apply(vec![emptied, forgotten]).await.unwrap();
    drop(store);

    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(*store.head().borrow(), 2);
    assert_eq!(store.events(0, 9).await.unwrap().first_kept, 3);
    let batch = vec![put("a", "1"), append("z")];
    assert_eq!(store.apply(batch).await.unwrap(), [3]);
    assert!(numbers(&store).await[0] > number);
}

#[test]
fn only_the_call_that_made_the_store_says_created() {
    let folder = tempfile::tempdir().unwrap();
    let (first, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Created);
    let (_second, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Found);
    drop(first);
    let (_third, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Found);
}

#[test]
fn one_of_many_openers_made_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::thread::scope(|scope| {
        let open = || EmbeddedStore::open(folder.path()).unwrap().1;
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let said = openers.into_iter().map(|opener| opener.join().unwrap());
        said.filter(|freshness| *freshness == Freshness::Created)
            .count()
    });
    assert_eq!(made, 1);
}

#[test]
fn a_file_that_was_never_finished_counts_as_created() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mosaic.db"), b"").unwrap();
    let (_store, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Created);
}

#[tokio::test]
async fn nobody_else_can_read_the_files() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data/store");
    let (store, _) = EmbeddedStore::open(&folder).unwrap();
    store.apply(vec![put("a", "1")]).await.unwrap();
    assert_eq!(mode(&folder), 0o700);
    let names = ["mosaic.db", "mosaic.db-wal", "mosaic.db-shm"];
    for name in names {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_file_that_others_could_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(folder.path()).unwrap());
    let file = folder.path().join("mosaic.db");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    drop(EmbeddedStore::open(folder.path()).unwrap());
    assert_eq!(mode(&file), 0o600);
}

#[tokio::test]
async fn dropping_the_store_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    store.apply(vec![put("a", "1")]).await.unwrap();
    drop(store);
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["mosaic.db"]);
}

#[tokio::test]
async fn dropping_the_store_writes_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    for event in 0..50 {
        // Polled once, which sends it, and then left.
        let mut sent = std::pin::pin!(store.apply(vec![append(&event.to_string())]));
        let _ = poll_once(&mut sent).await;
    }
    drop(store);
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(sequences(&store).await.len(), 50);
}

/// Polls a future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! { biased; output = future => Some(output), () = async {} => None }
}

#[tokio::test]
async fn a_reader_sees_rows_while_a_writer_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let reader = EmbeddedStore::open_read_only(folder.path()).unwrap();
    for sequence in 1..=20 {
        let value = sequence.to_string();
        let batch = vec![put("a", &value), append(&value)];
        store.apply(batch).await.unwrap();
        let read = reader.get(Table::Agents, "a").await.unwrap();
        assert_eq!(read, Some(value.clone().into_bytes()));
        let newest = reader.events(sequence - 1, 9).await.unwrap().events;
        assert_eq!(newest, [(sequence, value.into_bytes())]);
    }
    drop(store);
    assert_eq!(reader.scan(Table::Agents, None, 9).await.unwrap().len(), 1);
    let _after = EmbeddedStore::open_read_only(folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_share_few_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let store = Arc::new(store);
    let mut both = tokio::task::JoinSet::new();
    for task in 0..64 {
        let store = Arc::clone(&store);
        both.spawn(async move {
            let key = task.to_string();
            store.apply(vec![create(&key, &key)]).await.unwrap();
            let read = store.get(Table::Agents, &key).await.unwrap();
            assert_eq!(read, Some(key.into_bytes()));
        });
    }
    both.join_all().await;
    assert_eq!(rows(&*store).await.len(), 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_share_one_gapless_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [(); 2].map(|()| Arc::new(EmbeddedStore::open(folder.path()).unwrap().0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let store = Arc::clone(&handles[writer % 2]);
        writers.spawn(async move {
            let mut own = Vec::new();
            for _ in 0..4 {
                own.extend(store.apply(vec![append("x")]).await.unwrap());
            }
            own
        });
    }
    let mut given = writers.join_all().await.concat();
    given.sort_unstable();
    assert_eq!(given, Vec::from_iter(1..=64));
}
