//! How much room is left where the data folder is, and how much the spoke keeps free.
//!
//! It only looks. Below the bound nobody starts an agent any more; what runs goes on, and the room
//! that is left is the store's: a kill, its proof and its events must still be written.

use mosaic_common::{Reason, Refusal};
use std::path::PathBuf;
use std::time::Duration;

/// When a caller should ask again: room comes with the end of an agent, or with an operator.
const RETRY: Duration = Duration::from_secs(60);

/// The room on the file system of one folder.
#[derive(Debug, Clone, Default)]
pub struct Room {
    folder: PathBuf,
    least: u64,
}

impl Room {
    /// The room where `folder` is, of which `least` bytes stay free; 0: it is never looked at.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, least: u64) -> Self {
        Self {
            folder: folder.into(),
            least,
        }
    }

    /// Says whether there is room for one more agent. One system call, in microseconds.
    ///
    /// # Errors
    /// [`Reason::DiskFull`] if there is not, or if nobody can say.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.least == 0 {
            return Ok(());
        }
        let full = |what: String| Err(Refusal::new(Reason::DiskFull, what).retry_after(RETRY));
        match rustix::fs::statvfs(&self.folder) {
            Ok(found) => match free(found.f_bavail, found.f_frsize) {
                free if free >= self.least => Ok(()),
                free => full(format!(
                    "{free} bytes are free where the data folder is, and {} shall stay so",
                    self.least
                )),
            },
            Err(error) => full(format!(
                "the room for the data folder is not known: {error}"
            )),
        }
    }

    /// Whether there is less room than shall stay free.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.check().is_err()
    }
}

/// Bytes that others than root may still write: agents have users of their own.
fn free(blocks: u64, size: u64) -> u64 {
    blocks.saturating_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_room_than_shall_stay_free_is_a_refusal_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Room::new(folder.path(), 1).check().is_ok());
        assert!(Room::default().check().is_ok());
        let refusal = Room::new(folder.path(), u64::MAX).check().unwrap_err();
        assert_eq!(refusal.reason, Reason::DiskFull);
        assert!(refusal.retry_after.is_some());
        let gone = Room::new(folder.path().join("gone"), 1);
        assert_eq!(gone.check().unwrap_err().reason, Reason::DiskFull);
    }
}
