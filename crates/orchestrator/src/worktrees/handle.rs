//! Reads what an agent wrote, one name at a time, from the handle of the folder that holds it.
//!
//! No name has a separator and no link is followed, so nothing outside the first folder can be
//! reached, whatever was planted inside. Only plain files are read; nothing is ever executed.

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;
use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// Which folder it is, by whatever name.
pub(super) type Identity = (u64, u64);

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// `NONBLOCK`: opening a FIFO must not wait for a writer.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Holds what a name stands for, a link itself included, without any right to it.
const HELD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder whose path the spoke alone can write.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, FOLDER, Mode::empty())?))
    }

    /// Opens a folder in it.
    pub(super) fn folder(&self, name: &[u8]) -> io::Result<Self> {
        check(name)?;
        let opened = match openat(&self.0, name, FOLDER, Mode::empty()) {
            Err(Errno::ACCESS) => {
                self.allow(name, 0o700)?;
                openat(&self.0, name, FOLDER, Mode::empty())
            }
            opened => opened,
        };
        Ok(Self(opened?))
    }

    /// Opens a folder in it, as it is: nobody's rights are changed.
    pub(super) fn enter(&self, name: &[u8]) -> io::Result<Self> {
        check(name)?;
        Ok(Self(openat(&self.0, name, FOLDER, Mode::empty())?))
    }

    /// Opens the folder that this one is in, if it is still the expected one.
    ///
    /// Only one handle is open at a time, however deep an agent's folders are.
    pub(super) fn parent(&self, expected: Identity) -> io::Result<Self> {
        let parent = Self(openat(&self.0, c"..", FOLDER, Mode::empty())?);
        if parent.identity()? == expected {
            Ok(parent)
        } else {
            Err(io::Error::other("the folder was moved while it was read"))
        }
    }

    /// Opens a plain file in it, and says how large it is.
    pub(super) fn file(&self, name: &[u8]) -> io::Result<(File, u64)> {
        check(name)?;
        let opened = match openat(&self.0, name, FILE, Mode::empty()) {
            Err(Errno::ACCESS) => {
                self.allow(name, 0o600)?;
                openat(&self.0, name, FILE, Mode::empty())
            }
            opened => opened,
        };
        let file = opened?;
        let found = fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a plain file"));
        }
        Ok((File::from(file), u64::try_from(found.st_size).unwrap_or(0)))
    }

    /// Reads a plain file of at most `most` bytes.
    pub(super) fn read(&self, name: &[u8], most: u64) -> io::Result<Vec<u8>> {
        let (file, size) = self.file(name)?;
        let mut content = Vec::new();
        if size <= most {
            file.take(most + 1).read_to_end(&mut content)?;
        }
        if size > most || content.len() as u64 > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }

    /// The text of a symbolic link in it.
    pub(super) fn link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        check(name)?;
        Ok(readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// What is known of a name in it, links not followed.
    pub(super) fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        check(name)?;
        Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Every name in it, at most `most`; `None` if there are more.
    pub(super) fn names(&self, most: u64) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                if names.len() as u64 >= most {
                    return Ok(None);
                }
                names.push(name);
            }
        }
        Ok(Some(names))
    }

    /// Which folder it is.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        let found = fstat(&self.0)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Who owns it.
    pub(super) fn owner(&self) -> io::Result<u32> {
        Ok(fstat(&self.0)?.st_uid)
    }

    /// Lets the spoke read what the agent took its own rights from. Only needed, and only
    /// possible, where both are the same user.
    ///
    /// What the name stands for is held before it is looked at and changed by that handle: a link
    /// that takes its place meanwhile leads nowhere.
    fn allow(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let held = openat(&self.0, name, HELD, Mode::empty())?;
        let found = fstat(&held)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            return Err(Errno::ACCESS.into());
        }
        let mode = Mode::from_raw_mode(found.st_mode & 0o777 | mode);
        // A handle without rights cannot be given to fchmod; its name in /proc can be changed.
        let handle = format!("/proc/self/fd/{}", held.as_raw_fd());
        Ok(rustix::fs::chmodat(CWD, handle, mode, AtFlags::empty())?)
    }
}

/// Checks that a name is one step down and nothing else.
fn check(name: &[u8]) -> io::Result<()> {
    let one_step = !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if one_step {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests;
