//! How much of the disk a folder uses, counted while its agent runs and may work against it.
//!
//! Everything goes through directory handles; no link is followed, nothing is opened but folders,
//! nothing is changed. It counts blocks, not lengths: a sparse file of 100 GiB counts what it uses.
//! A hard link counts its part. Every name counts one block at least, since a file system runs out
//! of inodes as it does of blocks, and so that a quota of bytes bounds the work, too.

use super::handle::{Folder, Identity};
use rustix::fs::{FileType, Stat};
use std::io;

/// What a name counts at least, in bytes: the block of the usual file systems.
const NAME: u64 = 4096;

/// The unit of `st_blocks`, whatever the file system's own is (POSIX).
const BLOCK: u64 = 512;

/// How many folders inside each other are held open. Deeper ones are left by their `..`, which
/// only an agent that moves folders about all the time can disturb; it then hides what is deeper
/// than this, and no more. Any number of handles that a process can spare would do.
const HELD: usize = 128;

/// Counts the bytes that what is in `root` uses, until they are more than `enough`. Blocks.
///
/// What vanishes, moves or cannot be opened meanwhile is left out: the next count sees it.
///
/// # Errors
/// If `root` itself cannot be read.
pub(super) fn of(root: Folder, enough: u64) -> io::Result<u64> {
    let mut count = Count { used: 0, enough };
    let first = count.names(&root)?;
    let device = root.identity()?.0;
    let mut here = root;
    let mut above: Vec<Frame> = Vec::new();
    let mut names = first;
    while count.used <= enough {
        if let Some(name) = names.pop() {
            let Ok(found) = here.stat(&name) else {
                continue;
            };
            count.add(&found);
            let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            if !is_folder || found.st_dev != device {
                continue;
            }
            // Opened by its name a moment later: it may be another folder by now, never a link.
            if let Ok(below) = here.enter(&name)
                && let Ok(inside) = count.names(&below)
            {
                above.push(Frame::of(
                    here,
                    std::mem::replace(&mut names, inside),
                    above.len(),
                )?);
                here = below;
            }
        } else if let Some((folder, rest)) = leave(&here, &mut above) {
            (here, names) = (folder, rest);
        } else {
            break;
        }
    }
    Ok(count.used)
}

/// A folder that the walk will come back to.
struct Frame {
    back: Back,
    names: Vec<Vec<u8>>,
}

enum Back {
    Held(Folder),
    Known(Identity),
}

impl Frame {
    fn of(folder: Folder, names: Vec<Vec<u8>>, depth: usize) -> io::Result<Self> {
        let back = if depth < HELD {
            Back::Held(folder)
        } else {
            Back::Known(folder.identity()?)
        };
        Ok(Self { back, names })
    }
}

/// Goes back to the nearest folder above that can still be reached.
fn leave(here: &Folder, above: &mut Vec<Frame>) -> Option<(Folder, Vec<Vec<u8>>)> {
    while let Some(Frame { back, names }) = above.pop() {
        match back {
            Back::Held(folder) => return Some((folder, names)),
            Back::Known(identity) => {
                if let Ok(folder) = here.parent(identity) {
                    return Some((folder, names));
                }
            }
        }
    }
    None
}

struct Count {
    used: u64,
    enough: u64,
}

impl Count {
    /// Counts what a name uses beyond the block that it has counted for.
    fn add(&mut self, found: &Stat) {
        let bytes = u64::try_from(found.st_blocks).unwrap_or(0) * BLOCK;
        #[allow(clippy::useless_conversion, reason = "not everywhere of 64 bits")]
        let links = u64::try_from(found.st_nlink).unwrap_or(1).max(1);
        let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let part = if is_folder { bytes } else { bytes / links };
        self.used = self.used.saturating_add(part.saturating_sub(NAME));
    }

    /// The names in a folder, counted; none, and enough counted, if there are more than can fit.
    fn names(&mut self, folder: &Folder) -> io::Result<Vec<Vec<u8>>> {
        let most = self.enough.saturating_sub(self.used) / NAME + 1;
        if let Some(names) = folder.names(most)? {
            self.used = self.used.saturating_add(names.len() as u64 * NAME);
            return Ok(names);
        }
        self.used = self.enough.saturating_add(1);
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    fn used(folder: &std::path::Path, enough: u64) -> u64 {
        of(Folder::open(folder).unwrap(), enough).unwrap()
    }

    #[test]
    fn what_is_on_the_disk_counts_and_what_a_length_says_does_not() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("big"), vec![1; 1 << 20]).unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        assert!(used(&root, u64::MAX) <= 2 * NAME);
        File::create(root.join("sparse"))
            .and_then(|file| file.set_len(100 << 30))
            .unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("../big", root.join("link")).unwrap();
        assert!(
            used(&root, u64::MAX) <= 8 * NAME,
            "nothing of a hole or a link"
        );
        fs::write(root.join("sub/real"), vec![1; 1 << 20]).unwrap();
        let before = used(&root, u64::MAX);
        assert!(((1 << 20)..(1 << 20) + 16 * NAME).contains(&before));
        fs::hard_link(root.join("sub/real"), root.join("again")).unwrap();
        assert!(
            used(&root, u64::MAX) <= before + NAME,
            "one file, two names"
        );
    }

    #[test]
    fn the_work_is_bounded_by_the_quota() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..2000 {
            File::create(root.path().join(number.to_string())).unwrap();
        }
        assert!(used(root.path(), u64::MAX) >= 2000 * NAME);
        assert_eq!(used(root.path(), 50 * NAME), 50 * NAME + 1);
    }

    #[test]
    fn deeper_than_handles_are_held_is_counted_too() {
        let root = tempfile::tempdir().unwrap();
        let mut here = root.path().to_owned();
        for _ in 0..HELD + 20 {
            here.push("d");
            fs::create_dir(&here).unwrap();
            fs::write(here.join("f"), [1; 5000]).unwrap();
        }
        let files = u64::try_from(HELD + 20).unwrap();
        assert!(used(root.path(), u64::MAX) >= files * (NAME + 2 * NAME));
    }
}
