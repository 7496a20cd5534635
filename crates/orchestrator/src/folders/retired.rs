//! Caches that nobody uses any more: first out of the way, then off the disk.

use super::{Error, Folders, failed, trash};
use std::path::Path;

/// What names in the trash begin with that were a cache.
const PREFIX: &str = "cache";

impl Folders {
    /// Moves a repository's cache into the trash: one rename, whatever its size.
    ///
    /// # Errors
    /// The step that failed; the cache is where it was.
    pub fn retire_cache(&self, cache: &Path) -> Result<(), Error> {
        let (Some(root), Some(name)) = (cache.parent(), cache.file_name()) else {
            let none = std::io::ErrorKind::InvalidInput.into();
            return Err(failed("name", cache)(none));
        };
        trash::put_away(root, Path::new(name), &self.trash(), PREFIX)
    }

    /// Deletes every cache in the trash.
    ///
    /// # Errors
    /// The step that failed; it may be called again, and then ends what it began.
    pub fn bury(&self) -> Result<(), Error> {
        trash::delete(&self.trash(), &format!("{PREFIX}."))
    }
}
