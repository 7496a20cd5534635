//! What the embedded store refuses to open, what it says, and that it leaves it alone.

use crate::writes::put;
use mosaic_store::{EmbeddedStore, StateStore};
use std::error::Error as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn file(folder: &Path) -> PathBuf {
    folder.join("mosaic.db")
}

/// Opens what must be refused. Returns the whole chain of reasons.
fn refusal(folder: &Path) -> String {
    let error = EmbeddedStore::open(folder).err().unwrap();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let junk = b"this was never a database, and it is longer than a header".repeat(9);
    std::fs::write(file(folder.path()), &junk).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("mosaic.db"), "{said}");
    assert!(said.contains("is damaged or is no store"), "{said}");
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), junk);
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = EmbeddedStore::open(folder.path()).unwrap();
    let large = "x".repeat(4_000);
    let batch = (0..64).map(|key: u32| put(&key.to_string(), &large));
    store.apply(batch.collect()).await.unwrap();
    drop(store);

    let mut bytes = std::fs::read(file(folder.path())).unwrap();
    // Everything but the first page, which holds the header and the schema.
    bytes[4096..].fill(0xa5);
    std::fs::write(file(folder.path()), &bytes).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("is damaged or is no store"), "{said}");
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), bytes);
}

#[test]
fn an_unknown_version_is_refused_by_writer_and_reader() {
    let folder = tempfile::tempdir().unwrap();
    drop(EmbeddedStore::open(folder.path()).unwrap());
    let mut bytes = std::fs::read(file(folder.path())).unwrap();
    // `user_version`, as the file format places it.
    bytes[60..64].copy_from_slice(&77u32.to_be_bytes());
    std::fs::write(file(folder.path()), &bytes).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("schema version 77"), "{said}");
    assert!(EmbeddedStore::open_read_only(folder.path()).is_err());
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), bytes);
}

#[test]
fn a_folder_that_others_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("mode 0777"), "{said}");
    assert!(!file(folder.path()).exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let said = refusal(&folder.path().join("file/store"));
    assert!(said.contains("cannot prepare the folder"), "{said}");
}

#[test]
fn a_reader_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    assert!(EmbeddedStore::open_read_only(folder.path()).is_err());
    assert!(!file(folder.path()).exists());
}
