//! The database file: where it is, who may read it, and what stops it from being opened.

use super::{Freshness, schema};
use crate::Error;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for another process's write.
///
/// Its transactions take milliseconds; longer than this, it hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How large the write-ahead log may stay once its contents are in the file, in bytes.
///
/// Four times what is folded in at once, so that a burst does not keep its space for ever.
const LOG_SIZE_LIMIT: i64 = 16 << 20;

/// Why a store cannot be opened. The cause inside [`Error::Open`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot prepare the folder")]
    Folder(#[source] io::Error),
    #[error("other users may write to the folder (mode {mode:04o}); run chmod 700 on it")]
    NotPrivate { mode: u32 },
    #[error("cannot make the file")]
    Make(#[source] io::Error),
    #[error("there is no store here")]
    Missing,
    #[error(
        "the file is damaged or is no store; it was left as it is: \
         restore a copy, or move it away to begin with an empty memory"
    )]
    Damaged(#[source] Option<rusqlite::Error>),
    #[error(
        "the file has schema version {found} and this program knows {known}; use the program that wrote it"
    )]
    Version { found: i64, known: i64 },
    #[error("the file system cannot keep a write-ahead log (journal mode is {0})")]
    NoLog(String),
    #[error("cannot start the committer")]
    Thread(#[source] io::Error),
    #[error("the database refused")]
    Database(#[source] rusqlite::Error),
}

impl Failure {
    pub(super) fn at(self, path: PathBuf) -> Error {
        let source = Box::new(self);
        Error::Open { path, source }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged(Some(error))
            }
            _ => Self::Database(error),
        }
    }
}

/// Where the file of a store in `folder` is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("mosaic.db")
}

/// Opens the store in `folder` for writing, and makes what is missing.
pub(super) fn open(folder: &Path) -> Result<(Connection, Freshness), Failure> {
    let handle = private_folder(folder)?;
    // Held until the schema is there: two openers never both find an unfinished file, and
    // no file handle of ours is closed (which drops SQLite's locks) while it is in use.
    handle.lock().map_err(Failure::Folder)?;
    let path = path(folder);
    make_private(&path).map_err(Failure::Make)?;
    let mut connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let freshness = schema::ensure(&mut connection)?;
    keep_log(&connection)?;
    // The names, too, must outlive a power cut.
    handle.sync_all().map_err(Failure::Folder)?;
    Ok((connection, freshness))
}

/// Opens an existing store so that nothing can be written through it.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, Failure> {
    if !path.exists() {
        return Err(Failure::Missing);
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    schema::check(&connection)?;
    Ok(connection)
}

fn private_folder(folder: &Path) -> Result<File, Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Failure::Folder)?;
    let handle = File::open(folder).map_err(Failure::Folder)?;
    let mode = handle.metadata().map_err(Failure::Folder)?.mode() & 0o7777;
    // Who may write to the folder may replace the file. Not mended here: the folder may be
    // one that others need, given by mistake.
    if mode & 0o022 != 0 {
        return Err(Failure::NotPrivate { mode });
    }
    Ok(handle)
}

/// Makes the file if it is missing; SQLite gives its companions the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    let new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match new {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(path, Permissions::from_mode(0o600))
        }
        Err(error) => Err(error),
    }
}

/// Has every commit synced: with `NORMAL` a power cut takes the last ones away.
fn keep_log(connection: &Connection) -> Result<(), Failure> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Failure::NoLog(mode));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))?;
    Ok(())
}
