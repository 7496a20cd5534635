//! The files of an identity: made once, for their owner alone, and read with suspicion.

use super::IdentityError;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Largest file of an identity, in bytes: many times what a key or a certificate takes.
const FILE_MAX: u64 = 64 * 1024;

pub(super) fn make_folder(path: &Path) -> Result<(), IdentityError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| IdentityError::Write {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn write_new(path: &Path, text: &str) -> Result<(), IdentityError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(file, "{}", text.trim_end())?;
        file.sync_all()
    };
    write().map_err(|source| IdentityError::Write {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, IdentityError> {
    let mode = stat(path)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    read(path)
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, IdentityError> {
    let failed = |source| IdentityError::Read {
        path: path.to_owned(),
        source,
    };
    let size = stat(path)?.len();
    if size > FILE_MAX {
        let problem = format!("it has {size} bytes, more than {FILE_MAX}");
        return Err(failed(io::Error::other(problem)));
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(failed)
}

fn stat(path: &Path) -> Result<fs::Metadata, IdentityError> {
    fs::metadata(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}
