//! What nobody uses any more, caches and the trash of an earlier life: first out of the way, then
//! off the disk.

use super::{Error, Folders, failed, trash};
use std::{fs, path::Path};

/// What names in the trash begin with that were a cache.
const PREFIX: &str = "cache";

/// What names in the data folder begin with that were the trash.
const RETIRED: &str = "trash.";

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

    /// Puts what a crash left half deleted or half built out of the way. Only call it before
    /// anything else is done in these folders; [`empty_retired`](Self::empty_retired) deletes it.
    ///
    /// # Errors
    /// The step that failed.
    pub fn retire_trash(&self) -> Result<(), Error> {
        let trash = self.trash();
        let mut entries = fs::read_dir(&trash).map_err(failed("list", &trash))?;
        if entries.next().is_none() {
            return Ok(());
        }
        let free = (0_u32..).map(|number| self.data.join(format!("{RETIRED}{number}")));
        let free = free.into_iter().find(|path| !path.exists());
        let to = free.unwrap_or_else(|| self.data.join(RETIRED)); // a number is always free
        fs::rename(&trash, to).map_err(failed("put away", &trash))?;
        self.create()
    }

    /// Deletes what [`retire_trash`](Self::retire_trash) put out of the way, in this life or
    /// another. May take its time.
    ///
    /// # Errors
    /// The step that failed.
    pub fn empty_retired(&self) -> Result<(), Error> {
        for entry in fs::read_dir(&self.data).map_err(failed("list", &self.data))? {
            let entry = entry.map_err(failed("list", &self.data))?;
            if entry.file_name().to_string_lossy().starts_with(RETIRED) {
                let path = entry.path();
                trash::delete(&path, "")?;
                fs::remove_dir(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }
}
