//! Reads through a few connections that cannot write. Blocking work never runs on the
//! caller's thread.

use super::file::{self, Failure};
use super::query;
use crate::{Error, Events, Row, Table};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many reads run at once; the others wait.
///
/// Reads are short and come from memory: more connections would only cost page caches.
const CONNECTIONS: usize = 4;

/// A store opened for reading only, also while another process writes to it.
#[derive(Debug)]
pub struct Reader {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        // The first is opened at once, so that a store that cannot be read is known now.
        let first = file::open_read_only(path)?;
        let pool = Pool {
            path: path.to_owned(),
            idle: Mutex::new(vec![first]),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
        };
        Ok(Self {
            pool: Arc::new(pool),
        })
    }

    /// Reads one row's value.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = key.to_owned();
        self.read(move |connection| query::get(connection, table, &key))
            .await
    }

    /// Reads rows, newest first: at most `limit` of those numbered below `before`.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        self.read(move |connection| query::scan(connection, table, before, limit))
            .await
    }

    /// Reads events, oldest first: at most `limit` of those after sequence `after`.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        self.read(move |connection| query::events(connection, after, limit))
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permits = Arc::clone(&self.pool.permits);
        let permit = permits.acquire_owned().await;
        let permit = permit.map_err(|closed| Error::Read(Box::new(closed)))?;
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            let answer = pool.read(query);
            // Given back here and not by the caller, who may go away before the read ends.
            drop(permit);
            answer
        });
        let answer = reading.await.map_err(|gone| Error::Read(Box::new(gone)))?;
        answer.map_err(|failure| Error::Read(Box::new(failure)))
    }
}

impl Pool {
    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let connection = match waiting {
            Some(connection) => connection,
            None => file::open_read_only(&self.path)?,
        };
        let answer = query(&connection)?;
        // Only one that worked is used again.
        idle().push(connection);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EmbeddedStore, file};

    #[test]
    fn a_reading_connection_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let (_store, _) = EmbeddedStore::open(folder.path()).unwrap();
        let connection = file::open_read_only(&file::path(folder.path())).unwrap();
        let error = connection
            .execute("INSERT INTO events (value) VALUES (x'00')", [])
            .unwrap_err();
        let code = error.sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::ReadOnly), "{error}");
    }
}
