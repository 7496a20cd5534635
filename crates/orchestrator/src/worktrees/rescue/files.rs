//! Hashes the files of a working tree into the results, from handles, without following a link.
//!
//! One folder is open at a time and nothing recurses, however deep the tree is. What git cannot
//! hold is counted and left out: sockets, devices, other users' files, nested repositories' folders.

use super::{
    exclude::Rules,
    quota::Quota,
    tree::{self, Entry, Kind},
};
use crate::worktrees::{
    Error, Ignored, git_failed,
    handle::{Folder, Identity},
    results::Notes,
    system_failed,
};
use git2::{ObjectType, Odb, Oid, Repository, Tree};
use ignore::gitignore::Gitignore;

mod visit;

/// One walk through a working tree.
pub(super) struct Walk<'a> {
    pub(super) git: &'a Repository,
    /// The commit the working tree was on.
    pub(super) head: Oid,
    pub(super) ignored: Ignored,
    /// Rules for the whole tree that are in no file of it.
    pub(super) exclude: Option<Gitignore>,
    pub(super) quota: &'a mut Quota,
    pub(super) notes: &'a mut Notes,
}

/// A folder that the walk is in.
struct Frame<'a> {
    name: Vec<u8>,
    identity: Identity,
    /// Names still to come.
    names: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// What the commit has at this place.
    tracked: Option<Tree<'a>>,
    /// Whether a rule ignores the folder, and so everything in it that the commit has not.
    ignored: bool,
    /// How many bytes of a path lead to it, with the separator.
    prefix: usize,
}

impl Walk<'_> {
    /// Returns the tree of what is in the folder `worktree` of the agent's folder; the commit's own
    /// if there is no such folder.
    pub(super) fn run(self, agent: &Folder) -> Result<Oid, Error> {
        let head = self.git.find_commit(self.head).and_then(|head| head.tree());
        let head = head.map_err(git_failed("read the tree the agent worked on"))?;
        let Ok(root) = agent.folder(b"worktree") else {
            return Ok(head.id());
        };
        let owner = agent
            .owner()
            .map_err(system_failed("see who owns the agent's folder"))?;
        let odb = self.git.odb();
        let odb = odb.map_err(git_failed("open the results' objects"))?;
        Steps {
            rules: Rules::new(self.exclude.clone()),
            walk: self,
            odb,
            owner,
            path: Vec::new(),
        }
        .run(root, head)
    }
}

/// The walk under way.
struct Steps<'a> {
    walk: Walk<'a>,
    odb: Odb<'a>,
    owner: u32,
    rules: Rules,
    path: Vec<u8>,
}

impl<'a> Steps<'a> {
    fn run(mut self, root: Folder, head: Tree<'a>) -> Result<Oid, Error> {
        let mut stack = vec![self.enter(&root, Vec::new(), Some(head), false, 0)?];
        let mut here = root;
        loop {
            let depth = stack.len();
            let Some(frame) = stack.last_mut() else {
                return Err(walk_failed(std::io::ErrorKind::Other.into()));
            };
            if let Some(name) = frame.names.pop() {
                self.path.truncate(frame.prefix);
                self.path.extend_from_slice(&name);
                if let Some((folder, below)) = self.visit(&here, frame, name, depth)? {
                    here = folder;
                    stack.push(below);
                }
                continue;
            }
            let Some(done) = stack.pop() else { continue };
            self.rules.leave(depth);
            let Some(above) = stack.last_mut() else {
                return self.write(done.entries);
            };
            here = here.parent(above.identity).map_err(walk_failed)?;
            self.close(done, above)?;
        }
    }

    /// Opens the books on a folder.
    fn enter(
        &mut self,
        folder: &Folder,
        name: Vec<u8>,
        tracked: Option<Tree<'a>>,
        ignored: bool,
        depth: usize,
    ) -> Result<Frame<'a>, Error> {
        let prefix = if depth == 0 { 0 } else { self.path.len() + 1 };
        let names = folder.names(self.walk.quota.files_left());
        let names = names.map_err(system_failed("list a folder the agent left"))?;
        let names = names.ok_or_else(|| self.walk.quota.too_many())?;
        self.walk.quota.files(names.len() as u64)?;
        if depth > 0 {
            self.path.push(b'/');
        }
        self.rules.enter(folder, depth + 1, prefix);
        Ok(Frame {
            identity: folder.identity().map_err(walk_failed)?,
            name,
            names,
            entries: Vec::new(),
            tracked,
            ignored,
            prefix,
        })
    }

    /// Puts a folder that has been walked into the one that holds it. Git knows no empty folders,
    /// except where a submodule belongs.
    fn close(&mut self, done: Frame<'a>, above: &mut Frame<'a>) -> Result<(), Error> {
        if !done.entries.is_empty() {
            above.entries.push(Entry {
                kind: Kind::Folder,
                id: self.write(done.entries)?,
                name: done.name,
            });
        } else if let Some((id, ObjectType::Commit)) = above.tracked(&done.name) {
            above.entries.push(Entry {
                kind: Kind::Submodule,
                id,
                name: done.name,
            });
        }
        Ok(())
    }

    fn write(&self, entries: Vec<Entry>) -> Result<Oid, Error> {
        tree::write(&self.odb, entries).map_err(git_failed("write a tree to the results"))
    }
}

impl Frame<'_> {
    /// What the commit has under a name in this folder.
    fn tracked(&self, name: &[u8]) -> Option<(Oid, ObjectType)> {
        let entry = self.tracked.as_ref()?.get_name_bytes(name)?;
        Some((entry.id(), entry.kind()?))
    }
}

fn walk_failed(error: std::io::Error) -> Error {
    system_failed("walk through what the agent left")(error)
}
