//! The executable that plays the supervisor: a copy of this one, where agents' users can reach it.

use crate::folders::Folders;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Its name below the data folder.
const NAME: &str = "supervise";

/// Copies this executable to `<data>/bin`, in one step, and returns where it is.
///
/// Its own place may be closed to agents' users, and is replaced by upgrades while agents run;
/// a supervisor that runs keeps the file it was started from.
///
/// # Errors
/// If it cannot be copied.
pub fn install(folders: &Folders) -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = folders.data().join("bin");
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
    let (draft, place) = (folder.join(format!("{NAME}.new")), folder.join(NAME));
    fs::copy(&program, &draft)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    fs::rename(&draft, &place)?;
    Ok(place)
}
