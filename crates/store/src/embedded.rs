//! The embedded store: SQLite, write-ahead log, every commit fsynced. The only user of `rusqlite`.
//!
//! One thread commits: it takes what batches wait, writes them in one transaction, and answers
//! after the fsync, so that a hundred writers cost hardly more than one. Sequence and row numbers
//! are given inside the transaction: a second process may write beside us.

mod committer;
mod read;
mod schema;

pub use read::Reader;

use crate::{Error, Events, Row, StateStore, Table, Write};
use committer::Committer;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Readers kept open between reads: more than two cores' worth only wait for the disk.
const READERS: usize = 4;

/// The database's file in the store's folder.
const FILE: &str = "mosaic.db";

/// Whether opening a store made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// There was none.
    Created,
    /// It was there.
    Found,
}

/// A store in a folder of its own.
#[derive(Debug)]
pub struct EmbeddedStore {
    folder: PathBuf,
    committer: Committer,
    readers: Arc<Mutex<Vec<Reader>>>,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, or makes it. Only our own user can read it.
    ///
    /// # Errors
    /// [`Error::Open`] if it is damaged, of another version, or cannot be reached. Nothing is
    /// ever deleted or made anew in place of a file that is there.
    pub fn open(folder: &Path) -> Result<(Self, Freshness), Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Open {
            path: folder.to_owned(),
            source,
        };
        let freshness = make_private(folder).map_err(|error| failed(error.into()))?;
        let connection = schema::open(&folder.join(FILE)).map_err(failed)?;
        let committer = Committer::start(connection).map_err(failed)?;
        let store = Self {
            folder: folder.to_owned(),
            committer,
            readers: Arc::default(),
        };
        Ok((store, freshness))
    }

    /// Reads with a connection of the pool, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (readers, folder) = (self.readers.clone(), self.folder.clone());
        let work = tokio::task::spawn_blocking(move || {
            let kept = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let reader = kept.map_or_else(|| Reader::open(&folder), Ok)?;
            let value = read(&reader);
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS {
                readers.push(reader);
            }
            value
        });
        work.await.map_err(|error| Error::Read(error.into()))?
    }
}

/// Makes folder and file so that nobody else can read them, and says whether the file was there.
fn make_private(folder: &Path) -> std::io::Result<Freshness> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(FILE));
    match made {
        Ok(_) => Ok(Freshness::Created),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Freshness::Found),
        Err(error) => Err(error),
    }
}

#[async_trait::async_trait]
impl StateStore for EmbeddedStore {
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
        self.committer.commit(batch).await
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = key.to_owned();
        self.read(move |reader| reader.get(table, &key)).await
    }

    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        self.read(move |reader| reader.scan(table, before, limit))
            .await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        self.read(move |reader| reader.events(after, limit)).await
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.committer.head()
    }
}
