//! The embedded store: one SQLite file, one committer, a few readers. The only folder that
//! knows SQLite. It never deletes or repairs a file it cannot read.

mod committer;
mod file;
mod query;
mod reader;
mod schema;
mod write;

pub use reader::Reader;

use crate::{Error, Events, Row, StateStore, Table, Write};
use committer::Committer;
use std::path::Path;
use tokio::sync::watch;

/// Whether opening found a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// This call made the store: it remembers nothing, not even what was lost.
    Created,
    /// The store was there.
    Found,
}

/// A store in one file, fsynced before a write returns.
///
/// A second process may open the same folder; numbers and sequences stay unique, but
/// [`StateStore::head`] learns of the other's events only at the next event of its own.
/// Dropping it waits for the writes that were sent, and folds the log into the file.
#[derive(Debug)]
pub struct EmbeddedStore {
    // Dropped in this order: readers first, so that the committer can empty the log.
    reader: Reader,
    committer: Committer,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, making the folder (0700) and the file (0600) if needed.
    /// Blocks for the time of a check of the whole file.
    ///
    /// # Errors
    /// [`Error::Open`]: the folder is not private, the file is damaged or of an unknown
    /// version, or the system refused. The file is left as it was.
    pub fn open(folder: &Path) -> Result<(Self, Freshness), Error> {
        let path = file::path(folder);
        let opened = file::open(folder).and_then(|(connection, freshness)| {
            let reader = Reader::open(&path)?;
            let committer = Committer::start(connection)?;
            Ok((Self { reader, committer }, freshness))
        });
        opened.map_err(|failure| failure.at(path))
    }

    /// Opens the store in `folder` for reading only. It may be written by another process.
    ///
    /// # Errors
    /// [`Error::Open`]: there is no store, it is damaged or of an unknown version.
    pub fn open_read_only(folder: &Path) -> Result<Reader, Error> {
        let path = file::path(folder);
        Reader::open(&path).map_err(|failure| failure.at(path))
    }
}

#[async_trait::async_trait]
impl StateStore for EmbeddedStore {
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
        self.committer.apply(batch).await
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.reader.get(table, key).await
    }

    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        self.reader.scan(table, before, limit).await
    }

    async fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        self.reader.events(after, limit).await
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.committer.head()
    }
}
