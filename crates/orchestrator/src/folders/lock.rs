//! One spoke to a data folder: a second one would take the first one's work for a crash's.

use super::{Error, Folders, failed};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

/// The right to work in a data folder, until it is dropped or the process is gone.
#[derive(Debug)]
pub struct DataLock(#[allow(dead_code, reason = "held, never read")] File);

impl Folders {
    /// Takes the data folder for this process.
    ///
    /// # Errors
    /// [`Error::InUse`], or the step that failed.
    pub fn lock(&self) -> Result<DataLock, Error> {
        let path = self.data().join("lock");
        let mut options = OpenOptions::new();
        let opened = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(failed("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DataLock(file)),
            Err(Errno::WOULDBLOCK) => Err(Error::InUse(self.data().to_owned())),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }
}
