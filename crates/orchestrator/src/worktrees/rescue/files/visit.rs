//! One name in a folder: enter it, hash it, or leave it out and count it.

use super::{Frame, Steps, walk_failed};
use crate::worktrees::rescue::{
    objects::{IN_MEMORY, stream},
    tree::{Entry, Kind, is_git_folder},
};
use crate::worktrees::{Error, Ignored, git_failed, handle::Folder, system_failed};
use git2::{ObjectType, OdbLookupFlags, Oid};
use rustix::fs::{FileType, Stat};
use std::io::Read;

/// Longest path inside the tree, in bytes: the kernel's own limit for one call, and so git's.
const PATH_MAX: usize = 4095;

impl<'a> Steps<'a> {
    /// Deals with a name; returns the folder to go on in if it is one.
    pub(super) fn visit(
        &mut self,
        here: &Folder,
        frame: &mut Frame<'a>,
        name: Vec<u8>,
        depth: usize,
    ) -> Result<Option<(Folder, Frame<'a>)>, Error> {
        let found = here.stat(&name).map_err(walk_failed)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if is_git_folder(&name) {
            // The one at the top is ours: it says where the private repository is.
            let ours = depth == 1 && name == b".git" && kind == FileType::RegularFile;
            self.walk.notes.skipped_files += u64::from(!ours);
            return Ok(None);
        }
        let foreign = found.st_uid != self.owner || found.st_dev != frame.identity.0;
        if foreign || self.path.len() > PATH_MAX {
            self.walk.notes.skipped_files += 1;
            return Ok(None);
        }
        match kind {
            FileType::Directory => self.descend(here, frame, name, depth).map(Some),
            FileType::RegularFile | FileType::Symlink => {
                self.keep(here, frame, name, &found)?;
                Ok(None)
            }
            // Sockets, devices, FIFOs, and whatever a kernel may add.
            _ => {
                self.walk.notes.skipped_files += 1;
                Ok(None)
            }
        }
    }

    fn descend(
        &mut self,
        here: &Folder,
        frame: &Frame<'a>,
        name: Vec<u8>,
        depth: usize,
    ) -> Result<(Folder, Frame<'a>), Error> {
        let ignored = self.ignored(frame, |rules, path| rules.ignore_folder(path));
        let tracked = match frame.tracked(&name) {
            Some((id, ObjectType::Tree)) => self.walk.git.find_tree(id).ok(),
            Some(_) | None => None,
        };
        let folder = here.folder(&name);
        let folder = folder.map_err(system_failed("open a folder the agent left"))?;
        let below = self.enter(&folder, name, tracked, ignored, depth)?;
        Ok((folder, below))
    }

    /// Hashes a file or a link, unless it is ignored and the commit does not have it.
    fn keep(
        &mut self,
        here: &Folder,
        frame: &mut Frame<'a>,
        name: Vec<u8>,
        found: &Stat,
    ) -> Result<(), Error> {
        let tracked = match frame.tracked(&name) {
            Some((id, ObjectType::Blob)) => Some(id),
            Some(_) | None => None,
        };
        if tracked.is_none() && self.ignored(frame, |rules, path| rules.ignore_file(path)) {
            self.walk.notes.ignored_files += 1;
            return Ok(());
        }
        let (kind, id) = if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            let text = here.link(&name);
            let text = text.map_err(system_failed("read a link the agent left"))?;
            (Kind::Link, self.store(&text)?)
        } else {
            let program = found.st_mode & 0o100 != 0;
            let kind = if program { Kind::Program } else { Kind::File };
            (kind, self.hash(here, &name, tracked)?)
        };
        frame.entries.push(Entry { kind, name, id });
        Ok(())
    }

    fn hash(&mut self, here: &Folder, name: &[u8], tracked: Option<Oid>) -> Result<Oid, Error> {
        let opened = here.file(name);
        let (mut file, size) = opened.map_err(system_failed("open a file the agent left"))?;
        let unread = "read a file the agent left";
        if size > IN_MEMORY {
            self.walk.quota.bytes(size)?;
            let written = stream(&self.odb, ObjectType::Blob, size, &mut file);
            return written.map_err(system_failed(unread));
        }
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let read = (&mut file).take(IN_MEMORY).read_to_end(&mut data);
        read.map_err(system_failed(unread))?;
        match tracked {
            Some(tracked) if same(&data, tracked) => Ok(tracked),
            Some(_) | None => self.store(&data),
        }
    }

    /// Writes a blob unless it is there.
    fn store(&mut self, data: &[u8]) -> Result<Oid, Error> {
        let id = Oid::hash_object(ObjectType::Blob, data);
        let id = id.map_err(git_failed("hash a file the agent left"))?;
        if !self.odb.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
            self.walk.quota.bytes(data.len() as u64)?;
            let written = self.odb.write(ObjectType::Blob, data);
            written.map_err(git_failed("write a file to the results"))?;
        }
        Ok(id)
    }

    fn ignored(&self, frame: &Frame<'a>, ask: impl Fn(&super::Rules, &[u8]) -> bool) -> bool {
        match self.walk.ignored {
            Ignored::Include => false,
            Ignored::Omit => frame.ignored || ask(&self.rules, &self.path),
        }
    }
}

/// Whether a file is what the commit has. A checkout may have turned line ends into those of
/// another system, as the repository's attributes asked; that alone is no change.
fn same(data: &[u8], tracked: Oid) -> bool {
    let is = |data: &[u8]| Oid::hash_object(ObjectType::Blob, data).is_ok_and(|id| id == tracked);
    if is(data) {
        return true;
    }
    if !data.windows(2).any(|pair| pair == b"\r\n") {
        return false;
    }
    let mut plain = Vec::with_capacity(data.len());
    for (at, byte) in data.iter().enumerate() {
        if *byte != b'\r' || data.get(at + 1) != Some(&b'\n') {
            plain.push(*byte);
        }
    }
    is(&plain)
}
