//! What is read from the file. Never writes.

use crate::{Events, Row, Table};
use rusqlite::{Connection, OptionalExtension};

/// Which part of the `rows` table is `table`. Written in files: never change one.
pub(super) fn part(table: Table) -> i64 {
    match table {
        Table::Agents => 1,
        Table::Claims => 2,
        Table::Commands => 3,
        Table::Tokens => 4,
        Table::Meta => 5,
    }
}

/// A number or sequence as SQLite knows it. What is larger than it can hold is larger than
/// any that it has given out, so the largest stands for it.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn get(
    connection: &Connection,
    table: Table,
    key: &str,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM rows WHERE part = ?1 AND key = ?2")?
        .query_row((part(table), key), |row| row.get(0))
        .optional()
}

pub(super) fn scan(
    connection: &Connection,
    table: Table,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Row>> {
    let before = before.map_or(i64::MAX, integer);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT number, key, value FROM rows WHERE part = ?1 AND number < ?2
             ORDER BY number DESC LIMIT ?3",
        )?
        .query_map((part(table), before, limit), |row| {
            Ok(Row {
                number: row.get::<_, i64>(0)?.cast_unsigned(),
                key: row.get(1)?,
                value: row.get(2)?,
            })
        })?
        .collect()
}

pub(super) fn events(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Events> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // One transaction: the first that is kept and the events must be of the same moment.
    let moment = connection.unchecked_transaction()?;
    let oldest: Option<i64> = moment
        .prepare_cached("SELECT min(sequence) FROM events")?
        .query_row([], |row| row.get(0))?;
    let first_kept = match oldest {
        Some(oldest) => oldest.cast_unsigned(),
        None => head(&moment)? + 1,
    };
    let events = moment
        .prepare_cached(
            "SELECT sequence, value FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?
        .query_map((integer(after), limit), |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(Events { first_kept, events })
}

/// The newest sequence that was ever given out.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    let head: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(head.unwrap_or(0).cast_unsigned())
}
