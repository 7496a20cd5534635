//! What only the embedded store does: it survives, it is private, it says what is wrong.

use mosaic_store::{EmbeddedStore, Freshness, Reader, StateStore, Table, Write};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the child of `a_killed_process_loses_nothing_it_was_told_is_written`.
const CHILD: &str = "MOSAIC_TEST_STORE";

fn append(value: &str) -> Vec<Write> {
    vec![
        Write::Append(value.into()),
        Write::Put(Table::Agents, value.into(), value.into()),
    ]
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_was_told_is_written() {
    if let Ok(folder) = std::env::var(CHILD) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "durability::a_killed_process_loses_nothing_it_was_told_is_written",
            "--nocapture",
        ])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("written ")?.parse::<u64>().ok());
    let last = told.take(200).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (store, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Found);
    let events = store.events(0, 100_000).await.unwrap().events;
    assert!(events.len() as u64 >= last, "{} of {last}", events.len());
    for (at, (sequence, value)) in events.iter().enumerate() {
        assert_eq!(*sequence, at as u64 + 1);
        let row = store
            .get(Table::Agents, std::str::from_utf8(value).unwrap())
            .await
            .unwrap();
        assert_eq!(
            row.as_ref(),
            Some(value),
            "event and row are written together"
        );
    }
    let next = store.apply(append("after")).await.unwrap();
    assert_eq!(next, [events.len() as u64 + 1]);
}

async fn write_until_killed(folder: &Path) {
    let (store, _) = EmbeddedStore::open(folder).unwrap();
    for number in 0_u64.. {
        let given = store.apply(append(&format!("e{number}"))).await.unwrap();
        println!("written {}", given[0]);
    }
}

#[tokio::test]
async fn a_reopened_store_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (store, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(freshness, Freshness::Created);
    store.apply(append("a")).await.unwrap();
    let number = store.scan(Table::Agents, None, 1).await.unwrap()[0].number;
    store
        .apply(vec![
            Write::Delete(Table::Agents, "a".into()),
            Write::ForgetEvents(1),
        ])
        .await
        .unwrap();
    drop(store);
    let (store, freshness) = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!((freshness, *store.head().borrow()), (Freshness::Found, 1));
    assert_eq!(store.apply(append("b")).await.unwrap(), [2]);
    assert!(store.scan(Table::Agents, None, 1).await.unwrap()[0].number > number);
}

#[tokio::test]
async fn two_processes_never_get_the_same_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let (one, _) = EmbeddedStore::open(folder.path()).unwrap();
    let (other, _) = EmbeddedStore::open(folder.path()).unwrap();
    let mut given = Vec::new();
    for _ in 0..50 {
        given.extend(one.apply(append("one")).await.unwrap());
        given.extend(other.apply(append("other")).await.unwrap());
    }
    assert_eq!(given, (1..=100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_reader_sees_what_is_written_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    assert!(reader.scan(Table::Agents, None, 9).unwrap().is_empty());
    store.apply(append("a")).await.unwrap();
    assert_eq!(reader.get(Table::Agents, "a").unwrap(), Some(b"a".to_vec()));
    assert_eq!(reader.events(0, 9).unwrap().events, [(1, b"a".to_vec())]);
    assert!(Reader::open(&folder.path().join("nowhere")).is_err());
    assert!(!folder.path().join("nowhere").exists());
}

#[tokio::test]
async fn nobody_else_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (store, _) = EmbeddedStore::open(&path).unwrap();
    store.apply(append("a")).await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosaic.db");
    std::fs::write(
        &file,
        "this is no database, and has been one for long enough to matter",
    )
    .unwrap();
    let error = EmbeddedStore::open(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("cannot open the store"),
        "{error}"
    );
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("this is no database")
    );
}

#[tokio::test]
async fn another_versions_store_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(folder.path()).unwrap());
    let set = |version: u32| {
        // The version stands big-endian at byte 60 of the file (SQLite file format, 1.3).
        let mut bytes = std::fs::read(folder.path().join("mosaic.db")).unwrap();
        bytes[60..64].copy_from_slice(&version.to_be_bytes());
        std::fs::write(folder.path().join("mosaic.db"), bytes).unwrap();
    };
    set(7);
    let error = EmbeddedStore::open(folder.path()).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("version 7"),
        "{error:?}"
    );
    set(1);
    assert!(EmbeddedStore::open(folder.path()).is_ok());
}
