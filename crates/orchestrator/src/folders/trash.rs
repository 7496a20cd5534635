//! Deletes what an agent left, through directory handles. It never follows a link, never opens
//! anything but directories, and holds two of them open however deep the tree is: a directory
//! inside another is first moved up into the trash.

use super::{Error, failed};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, MetadataExt};
use mosaic_common::failpoint;
use rustix::io::Errno;
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// How often one directory is read again because entries came up while it was emptied.
///
/// Its writers are dead by then, so a second pass only covers what a file system hid from the first.
const PASSES: usize = 8;

/// Makes names in the trash that this process did not use before.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Moves `name` from `root` to the trash, then deletes everything in the trash that was its.
pub(super) fn discard(root: &Path, trash: &Path, name: &str) -> Result<(), Error> {
    let from = open(root)?;
    let into = open(trash)?;
    match from.symlink_metadata(name) {
        Ok(_) => {
            make_movable(&from, Path::new(name));
            move_up(&from, Path::new(name), &into, name)
                .map_err(failed("move to the trash", &root.join(name)))?;
            failpoint!("trash.moved");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at", &root.join(name))(error)),
    }
    delete(trash, name)
}

/// Moves the folder `name` of `root` into the trash, under a fresh name that begins with `prefix`.
pub(super) fn put_away(root: &Path, name: &Path, trash: &Path, prefix: &str) -> Result<(), Error> {
    let (from, into) = (open(root)?, open(trash)?);
    let moved = move_up(&from, name, &into, prefix);
    moved
        .map(drop)
        .map_err(failed("move to the trash", &root.join(name)))
}

/// Deletes everything in the trash whose name begins with `prefix`.
pub(super) fn delete(trash: &Path, prefix: &str) -> Result<(), Error> {
    let root = open(trash)?;
    let mut waiting = Vec::new();
    for entry in root.entries().map_err(failed("list", trash))? {
        let name = entry.map_err(failed("list", trash))?.file_name();
        if name.to_string_lossy().starts_with(prefix) {
            waiting.push(name);
        }
    }
    while let Some(name) = waiting.pop() {
        let path = trash.join(&name);
        let is_folder = match root.symlink_metadata(&name) {
            Ok(found) => found.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("look at", &path)(error)),
        };
        if is_folder {
            failpoint!("trash.emptying");
            let moved = empty(&root, Path::new(&name), prefix).map_err(failed("delete", &path))?;
            waiting.extend(moved.into_iter().map(Into::into));
        } else {
            root.remove_file(&name).map_err(failed("delete", &path))?;
        }
    }
    Ok(())
}

/// Deletes the folder `name` of the trash; the folders in it move up, and are returned. What somebody
/// has mounted in it is not the agent's, and is not touched.
fn empty(root: &Dir, name: &Path, prefix: &str) -> io::Result<Vec<String>> {
    make_movable(root, name);
    let folder = root.open_dir(name)?;
    let device = folder.dir_metadata()?.dev();
    let mut moved = Vec::new();
    for _ in 0..PASSES {
        for entry in folder.entries()? {
            let entry = entry?;
            let inner = Path::new(&entry.file_name()).to_owned();
            if entry.file_type()?.is_dir() {
                if entry.metadata()?.dev() != device {
                    return Err(io::Error::other("something is mounted in it"));
                }
                make_movable(&folder, &inner);
                moved.push(move_up(&folder, &inner, root, prefix)?);
            } else {
                folder.remove_file(&inner)?;
            }
        }
        match root.remove_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done.map(|()| moved),
        }
    }
    Err(Errno::NOTEMPTY.into())
}

/// Moves an entry into the trash under a fresh name that begins with `prefix`.
fn move_up(from: &Dir, name: &Path, trash: &Dir, prefix: &str) -> io::Result<String> {
    loop {
        let fresh = format!("{prefix}.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        if trash.symlink_metadata(&fresh).is_ok() {
            continue; // left by an earlier run
        }
        match from.rename(name, trash, &fresh) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done.map(|()| fresh),
        }
    }
}

/// Lets a spoke that is not root read, empty and move a folder that its agent closed.
///
/// Best effort: what it could not open is reported by the step that then fails. The handle keeps a
/// link from leading outside the tree that is being deleted.
fn make_movable(parent: &Dir, name: &Path) {
    let mode = std::fs::Permissions::from_mode(0o700);
    drop(parent.set_permissions(name, cap_std::fs::Permissions::from_std(mode)));
}

fn open(path: &Path) -> Result<Dir, Error> {
    Dir::open_ambient_dir(path, ambient_authority()).map_err(failed("open", path))
}
