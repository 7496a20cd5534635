//! What is written to the file, one batch at a time. Never begins or ends a transaction.

use super::query::{self, integer, part};
use crate::{Error, Write};
use rusqlite::Connection;

/// Does every write of `batch`, in order, up to the first that fails: the caller rolls back.
/// Returns the sequences of the appended events.
pub(super) fn batch(connection: &Connection, batch: Vec<Write>) -> Result<Vec<u64>, Error> {
    let mut sequences = Vec::new();
    for write in batch {
        if let Write::Create(table, key, _) = &write
            && let Some(value) = query::get(connection, *table, key).map_err(failed)?
        {
            let key = key.clone();
            return Err(Error::Exists { key, value });
        }
        sequences.extend(one(connection, &write).map_err(failed)?);
    }
    Ok(sequences)
}

fn failed(error: rusqlite::Error) -> Error {
    Error::Write(Box::new(error))
}

fn one(connection: &Connection, write: &Write) -> rusqlite::Result<Option<u64>> {
    match write {
        Write::Put(table, key, value) => put(connection, part(*table), key, value)?,
        Write::Create(table, key, value) => insert(connection, part(*table), key, value)?,
        Write::Delete(table, key) => {
            connection
                .prepare_cached("DELETE FROM rows WHERE part = ?1 AND key = ?2")?
                .execute((part(*table), key))?;
        }
        Write::Append(value) => {
            let sequence = connection
                .prepare_cached("INSERT INTO events (value) VALUES (?1)")?
                .insert([value])?;
            return Ok(Some(sequence.cast_unsigned()));
        }
        Write::ForgetEvents(last) => {
            connection
                .prepare_cached("DELETE FROM events WHERE sequence <= ?1")?
                .execute([integer(*last)])?;
        }
    }
    Ok(None)
}

fn put(connection: &Connection, part: i64, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let changed = connection
        .prepare_cached("UPDATE rows SET value = ?3 WHERE part = ?1 AND key = ?2")?
        .execute((part, key, value))?;
    if changed == 0 {
        insert(connection, part, key, value)?;
    }
    Ok(())
}

fn insert(connection: &Connection, part: i64, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO rows (part, key, value) VALUES (?1, ?2, ?3)")?
        .execute((part, key, value))?;
    Ok(())
}
