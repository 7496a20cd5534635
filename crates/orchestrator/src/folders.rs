//! Where things are in a spoke's data folder, and who owns an agent's folder.
//!
//! Every path follows from the agent's id alone. A folder's owner on disk is the only record of an
//! agent's uid. It never reads what an agent wrote, and never follows a link. All calls block.

use mosaic_common::AgentId;
use mosaic_common::failpoint;
use rustix::process::geteuid;
use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

mod trash;

/// Uids for agents of a spoke that is root, when its configuration names none.
///
/// Above what distributions give to people and services (to 65,533) and to user namespaces'
/// first range on most machines (from 100,000, 65,536 long).
pub const OWNERS: Range<u32> = 200_000..265_536;

/// How the names of trash that an earlier life left begin.
const RETIRED: &str = "trash.";

/// The paths of one spoke. Clones share the lock that keeps two agents from getting one uid.
#[derive(Debug, Clone)]
pub struct Folders {
    data: PathBuf,
    owners: Option<Range<u32>>,
    claiming: Arc<Mutex<()>>,
}

/// An agent's own folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFolder {
    /// Everything the agent may write.
    pub path: PathBuf,
    /// Its working tree, inside.
    pub worktree: PathBuf,
    /// Its home, inside.
    pub home: PathBuf,
    /// The user and group that own it; `None`: the spoke's own.
    pub owner: Option<u32>,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step with the operating system failed.
    #[error("cannot {step} {}", path.display())]
    System {
        /// What was tried.
        step: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Every uid of the range has a folder.
    #[error("all {0} user ids for agents are in use; widen the range or clean up agents")]
    NoOwner(usize),
}

impl Folders {
    /// The folders below `data`. A spoke that is root gives agents uids of [`OWNERS`].
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            owners: geteuid().is_root().then_some(OWNERS),
            claiming: Arc::default(),
        }
    }

    /// The same with another range of uids; without effect for a spoke that is not root.
    #[must_use]
    pub fn with_owners(mut self, owners: Range<u32>) -> Self {
        self.owners = geteuid().is_root().then_some(owners);
        self
    }

    /// A uid that agents get; `None`: they run as the spoke's own user.
    #[must_use]
    pub fn first_owner(&self) -> Option<u32> {
        self.owners.as_ref().map(|owners| owners.start)
    }

    /// Makes the fixed folders, or sets their modes if they are there.
    ///
    /// # Errors
    /// The step that failed.
    pub fn create(&self) -> Result<(), Error> {
        // 0711: agents' uids pass through to what is theirs, and list nothing.
        let passed = [self.data.clone(), self.agents_root(), self.cache()];
        let private = [
            self.store(),
            self.results(),
            self.run_root(),
            self.output_root(),
            self.trash(),
            self.quarantine(),
        ];
        let modes = [(0o711, passed.as_slice()), (0o700, private.as_slice())];
        for (mode, paths) in modes {
            for path in paths {
                let made = fs::DirBuilder::new()
                    .recursive(true)
                    .mode(mode)
                    .create(path);
                made.map_err(failed("create", path))?;
                let permissions = fs::Permissions::from_mode(mode);
                fs::set_permissions(path, permissions).map_err(failed("set the mode of", path))?;
            }
        }
        Ok(())
    }

    /// The whole data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Records and events.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Clones that agents borrow objects from: `<repository>.git`.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// Rescued work: `<repository>.git`. No sandbox mounts it.
    #[must_use]
    pub fn results(&self) -> PathBuf {
        self.data.join("results")
    }

    /// What is being deleted.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        self.data.join("trash")
    }

    /// What agents left that could not be rescued: one folder each.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.data.join("quarantine")
    }

    /// The agents' folders.
    #[must_use]
    pub fn agents_root(&self) -> PathBuf {
        self.data.join("agents")
    }

    /// The agent's folder, there or not.
    #[must_use]
    pub fn agent(&self, agent: &AgentId) -> PathBuf {
        self.agents_root().join(agent.as_str())
    }

    /// The supervisors' folders.
    #[must_use]
    pub fn run_root(&self) -> PathBuf {
        self.data.join("run")
    }

    /// The folder of the agent's supervisor, there or not.
    #[must_use]
    pub fn run(&self, agent: &AgentId) -> PathBuf {
        self.run_root().join(agent.as_str())
    }

    /// The agents' outputs.
    #[must_use]
    pub fn output_root(&self) -> PathBuf {
        self.data.join("output")
    }

    /// The file with the agent's output, there or not.
    #[must_use]
    pub fn output(&self, agent: &AgentId) -> PathBuf {
        self.output_root().join(agent.as_str())
    }

    /// Ensures the agent's folder, with `worktree` and `home`, owned by a uid no other agent has.
    ///
    /// # Errors
    /// The step that failed. Half a folder is never seen: it is built aside and moved in.
    pub fn claim(&self, agent: &AgentId) -> Result<AgentFolder, Error> {
        let _one_at_a_time = self.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.agent(agent);
        match fs::symlink_metadata(&path) {
            Ok(found) => return Ok(self.folder(path, found.uid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", &path)(error)),
        }
        let owner = self.free_owner(agent)?;
        let aside = self.trash().join(format!("{agent}.new"));
        trash::delete(&self.trash(), &format!("{agent}.new"))?;
        for part in [&aside, &aside.join("worktree"), &aside.join("home")] {
            let made = fs::DirBuilder::new().mode(0o700).create(part);
            made.map_err(failed("create", part))?;
            failpoint!("folder.drafted");
            if let Some(uid) = owner {
                lchown(part, Some(uid), Some(uid)).map_err(failed("change the owner of", part))?;
            }
        }
        failpoint!("folder.given");
        fs::rename(&aside, &path).map_err(failed("move", &aside))?;
        Ok(self.folder(path, owner.unwrap_or_default()))
    }

    /// Removes the agent's folder: first out of sight, then from the disk. Succeeds if there is none.
    ///
    /// # Errors
    /// The step that failed; it may be called again, and then ends what it began.
    pub fn discard(&self, agent: &AgentId) -> Result<(), Error> {
        trash::discard(&self.agents_root(), &self.trash(), agent.as_str())
    }

    /// Moves the agent's folder to the quarantine, and says where it is. Succeeds if it is there.
    ///
    /// # Errors
    /// If neither is there, too.
    pub fn set_aside(&self, agent: &AgentId) -> Result<PathBuf, Error> {
        let (from, to) = (self.agent(agent), self.quarantine().join(agent.as_str()));
        if !self.is_aside(agent) {
            fs::rename(&from, &to).map_err(failed("move to the quarantine", &from))?;
        }
        Ok(to)
    }

    /// Whether something of the agent is in the quarantine.
    #[must_use]
    pub fn is_aside(&self, agent: &AgentId) -> bool {
        self.quarantine()
            .join(agent.as_str())
            .symlink_metadata()
            .is_ok()
    }

    /// Deletes what is in the quarantine of the agent. Succeeds if there is nothing.
    ///
    /// # Errors
    /// The step that failed; it may be called again.
    pub fn discard_aside(&self, agent: &AgentId) -> Result<(), Error> {
        trash::discard(&self.quarantine(), &self.trash(), agent.as_str())
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

    /// Every agent that has a folder. Names that are no agent's are left out.
    ///
    /// # Errors
    /// If the folder cannot be read: never an empty list instead.
    pub fn agents(&self) -> Result<Vec<AgentId>, Error> {
        list(&self.agents_root())
    }

    fn folder(&self, path: PathBuf, uid: u32) -> AgentFolder {
        AgentFolder {
            worktree: path.join("worktree"),
            home: path.join("home"),
            owner: self.owners.is_some().then_some(uid),
            path,
        }
    }

    /// The first uid from the id's hash on that owns no agent's folder.
    fn free_owner(&self, agent: &AgentId) -> Result<Option<u32>, Error> {
        let Some(range) = &self.owners else {
            return Ok(None);
        };
        let root = self.agents_root();
        let mut used = std::collections::HashSet::new();
        for entry in fs::read_dir(&root).map_err(failed("list", &root))? {
            let entry = entry.map_err(failed("list", &root))?;
            match fs::symlink_metadata(entry.path()) {
                Ok(found) => drop(used.insert(found.uid())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("look at", &entry.path())(error)),
            }
        }
        let first = hash(agent) % u32::try_from(range.len().max(1)).unwrap_or(u32::MAX);
        let probes = (range.start + first..range.end).chain(range.start..range.start + first);
        let free = probes.into_iter().find(|uid| !used.contains(uid));
        free.map(Some).ok_or(Error::NoOwner(range.len()))
    }
}

/// Every entry of a folder that is named as an agent is.
pub(crate) fn list(root: &Path) -> Result<Vec<AgentId>, Error> {
    let mut agents = Vec::new();
    for entry in fs::read_dir(root).map_err(failed("list", root))? {
        let entry = entry.map_err(failed("list", root))?;
        agents.extend(
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok()),
        );
    }
    agents.sort();
    Ok(agents)
}

/// FNV-1a: it only spreads agents over the range, so that most are found at the first probe.
fn hash(agent: &AgentId) -> u32 {
    agent.as_str().bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Names the step that failed.
fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::System { step, path, source }
}

#[cfg(test)]
mod tests;
