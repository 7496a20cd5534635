//! The tables in the file, and which version of them this program knows.

use super::Freshness;
use super::file::Failure;
use rusqlite::{Connection, TransactionBehavior};

/// The version of [`TABLES`]. Raised, with a step that converts, whenever they change.
const VERSION: i64 = 1;

/// `AUTOINCREMENT` is what keeps a number or a sequence from being used again after its row
/// has gone; it takes part in a rollback, so that sequences have no gaps.
const TABLES: &str = "
    CREATE TABLE rows (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        part   INTEGER NOT NULL,
        key    TEXT NOT NULL,
        value  BLOB NOT NULL,
        UNIQUE (part, key)
    ) STRICT;
    CREATE INDEX rows_by_number ON rows (part, number);
    CREATE TABLE events (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        value    BLOB NOT NULL
    ) STRICT;
";

/// Makes the tables in an empty file, or checks the file that is there.
///
/// An empty file counts as created: it is what a crash between the two leaves, and like a
/// new one it remembers nothing.
pub(super) fn ensure(connection: &mut Connection) -> Result<Freshness, Failure> {
    let making = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let things: i64 =
        making.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if things == 0 && version(&making)? == 0 {
        making.execute_batch(TABLES)?;
        making.pragma_update(None, "user_version", VERSION)?;
        making.commit()?;
        return Ok(Freshness::Created);
    }
    making.finish()?;
    check(connection)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Failure::Damaged(None));
    }
    Ok(Freshness::Found)
}

/// Checks that this program knows the version of the file.
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    let found = version(connection)?;
    if found == VERSION {
        return Ok(());
    }
    let known = VERSION;
    Err(Failure::Version { found, known })
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
