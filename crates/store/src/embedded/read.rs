//! Reads a store, strictly: also another process's, while that writes.

use super::{FILE, schema};
use crate::{Error, Events, Row, Table};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// A read-only view of a store.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the store in `folder`.
    ///
    /// # Errors
    /// [`Error::Open`] if there is none, or it is damaged or of another version.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            path: folder.to_owned(),
            source,
        };
        Ok(Self {
            connection: schema::open_read_only(&folder.join(FILE)).map_err(failed)?,
        })
    }

    /// Reads one row's value.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let get = || {
            let mut select = self
                .connection
                .prepare_cached("SELECT value FROM rows WHERE tab = ?1 AND key = ?2")?;
            select
                .query_row(params![schema::number(table), key], |row| row.get(0))
                .optional()
        };
        get().map_err(failed)
    }

    /// Reads rows, newest first: at most `limit` of those numbered below `before`.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn scan(&self, table: Table, before: Option<u64>, limit: usize) -> Result<Vec<Row>, Error> {
        let before = before.map_or(i64::MAX, to_sql);
        let scan = || {
            let mut select = self.connection.prepare_cached(
                "SELECT number, key, value FROM rows WHERE tab = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
            )?;
            let rows = select.query_map(
                params![schema::number(table), before, to_sql(limit as u64)],
                |row| {
                    Ok(Row {
                        number: from_sql(row.get(0)?),
                        key: row.get(1)?,
                        value: row.get(2)?,
                    })
                },
            )?;
            rows.collect::<rusqlite::Result<Vec<Row>>>()
        };
        scan().map_err(failed)
    }

    /// Reads events, oldest first: at most `limit` of those after sequence `after`.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn events(&self, after: u64, limit: usize) -> Result<Events, Error> {
        let events = || {
            // One transaction: what is first kept and what follows are of the same moment.
            let at_once = self.connection.unchecked_transaction()?;
            let first: Option<i64> =
                at_once.query_row("SELECT MIN(sequence) FROM events", [], |row| row.get(0))?;
            let first_kept = match first {
                Some(first) => from_sql(first),
                None => head(&at_once)? + 1,
            };
            let mut select = at_once.prepare_cached(
                "SELECT sequence, value FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?;
            let rows = select.query_map(params![to_sql(after), to_sql(limit as u64)], |row| {
                Ok((from_sql(row.get(0)?), row.get(1)?))
            })?;
            Ok(Events {
                first_kept,
                events: rows.collect::<rusqlite::Result<_>>()?,
            })
        };
        events().map_err(failed)
    }
}

/// The newest event's sequence.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row(
            "SELECT value FROM counters WHERE name = 'event'",
            [],
            |row| row.get(0),
        )
        .map(from_sql)
}

fn failed(error: rusqlite::Error) -> Error {
    Error::Read(error.into())
}

/// SQLite's integers are signed; ours stay far below the difference.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
