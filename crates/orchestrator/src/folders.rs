//! Where things are in a spoke's data folder, and who owns an agent's folder.
//!
//! Every path follows from the agent's id alone. A folder's owner on disk is the only record of an
//! agent's uid. It never reads what an agent wrote, and never follows a link. All calls block.

use mosaic_common::AgentId;
use mosaic_common::ids::hex;
use mosaic_common::keys::sha256;
use rustix::process::geteuid;
use std::{
    fs, io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

mod claim;
mod lock;
mod quarantine;
mod retired;
mod trash;

pub use lock::DataLock;

/// Uids for agents of a spoke that is root, when its configuration names none.
///
/// Above what distributions give to people and services (to 65,533) and to user namespaces'
/// first range on most machines (from 100,000, 65,536 long).
pub const OWNERS: Range<u32> = 200_000..265_536;

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
    /// Another process works in the data folder.
    #[error("another spoke uses the data folder {}", .0.display())]
    InUse(PathBuf),
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

    /// Tells this data folder from every other one of the machine: the first eight digits of the
    /// SHA-256 of its path.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let path = std::path::absolute(&self.data).unwrap_or_else(|_| self.data.clone());
        hex(&sha256(path.as_os_str().as_bytes())[..4])
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

    /// Removes the agent's folder: first out of sight, then from the disk. Succeeds if there is none.
    ///
    /// # Errors
    /// The step that failed; it may be called again, and then ends what it began.
    pub fn discard(&self, agent: &AgentId) -> Result<(), Error> {
        trash::discard(&self.agents_root(), &self.trash(), agent.as_str())
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

/// Names the step that failed.
fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::System { step, path, source }
}

#[cfg(test)]
mod tests;
