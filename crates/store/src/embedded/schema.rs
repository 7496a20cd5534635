//! The database's tables and settings.

use crate::Table;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// The layout below. Another number is another layout, which this code must not touch.
const VERSION: i64 = 1;

/// How long to wait for another process's transaction, which takes milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// `counters` keeps what must never be given twice, even when every row is gone.
const LAYOUT: &str = "
    CREATE TABLE rows (
        tab INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (tab, key)) WITHOUT ROWID;
    CREATE UNIQUE INDEX rows_by_number ON rows (tab, number);
    CREATE TABLE events (sequence INTEGER PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counters VALUES ('row', 0), ('event', 0);
    PRAGMA user_version = 1;
";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The number of a table in `rows`. Never changed: it stands on disk.
pub(super) fn number(table: Table) -> i64 {
    match table {
        Table::Agents => 1,
        Table::Claims => 2,
        Table::Commands => 3,
        Table::Tokens => 4,
        Table::Meta => 5,
    }
}

/// Opens a database to write, and lays it out if it is empty.
pub(super) fn open(file: &Path) -> Result<Connection, Failure> {
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL, not WAL's usual NORMAL: that loses the last commits when the power goes.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let layout = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if version(&layout)? == 0 {
        layout.execute_batch(LAYOUT)?;
    }
    layout.commit()?;
    check(&connection)?;
    Ok(connection)
}

/// Opens a database strictly to read.
pub(super) fn open_read_only(file: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    check(&connection)?;
    Ok(connection)
}

fn check(connection: &Connection) -> Result<(), Failure> {
    match version(connection)? {
        VERSION => Ok(()),
        other => {
            Err(format!("its layout is version {other}, and this program knows {VERSION}").into())
        }
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
