//! A writer that is killed, and two processes that write at once. The other process is this
//! test binary again, told by a variable where to write.

use crate::writes::{append, put, rows, sequences};
use mosaic_store::{EmbeddedStore, StateStore, Table};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Where the other process writes. Not set, it has nothing to do.
const FOLDER: &str = "MOSAIC_STORE_TEST_FOLDER";
/// How many batches each of its writers writes.
const BATCHES: &str = "MOSAIC_STORE_TEST_BATCHES";
/// How many writers it has: enough that a commit holds several batches.
const WRITERS: u32 = 8;

fn other_process(folder: &Path, batches: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::other_process_writes", "--ignored"])
        .arg("--nocapture")
        .env(FOLDER, folder)
        .env(BATCHES, batches.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The sequences that the other process was told are durable.
fn acknowledged(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("durable ")?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of the tests below; does nothing by itself"]
async fn other_process_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let batches: u32 = std::env::var(BATCHES).unwrap().parse().unwrap();
    let store = Arc::new(EmbeddedStore::open(folder.as_ref()).unwrap().0);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for batch in 0..batches {
                let key = format!("{writer}-{batch}");
                let batch = vec![put(&key, "row"), append(&key)];
                let sequence = store.apply(batch).await.unwrap()[0];
                // One write, so that lines of two writers do not mix. Starts with a line
                // end, since the test's own name has none.
                let line = format!("\ndurable {sequence}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test]
async fn a_kill_in_mid_write_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=3 {
        let mut child = other_process(folder.path(), u32::MAX);
        let mut durable = acknowledged(&mut child);
        let mut told: Vec<u64> = durable.by_ref().take(100).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What it managed to say before it died counts, too.
        told.extend(durable);

        let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
        let kept = sequences(&store).await;
        let head = *store.head().borrow();
        assert!(told.len() >= 100, "round {round}: it died by itself");
        assert_eq!(kept, Vec::from_iter(1..=head), "round {round}");
        let newest = told.iter().max().copied().unwrap();
        assert!(last < newest && newest <= head, "round {round}");
        last = head;
        // A batch is whole: each event has its row.
        for (_, key) in store.events(0, 1_000_000).await.unwrap().events {
            let key = String::from_utf8(key).unwrap();
            let row = store.get(Table::Agents, &key).await.unwrap();
            assert!(row.is_some(), "round {round}: {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_one_gapless_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let mut child = other_process(folder.path(), 10);
    let mut durable = acknowledged(&mut child);
    // It is writing: now both do.
    let mut given: Vec<u64> = durable.by_ref().take(1).collect();
    for _ in 0..30 {
        given.extend(store.apply(vec![append("ours")]).await.unwrap());
    }
    given.extend(
        tokio::task::spawn_blocking(|| durable.collect::<Vec<_>>())
            .await
            .unwrap(),
    );
    assert!(child.wait().unwrap().success());
    given.sort_unstable();
    let expected = Vec::from_iter(1..=30 + u64::from(WRITERS) * 10);
    assert_eq!(given, expected);
    assert_eq!(sequences(&store).await, expected);
    assert_eq!(rows(&store).await.len(), 80);
}
