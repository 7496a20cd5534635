//! Control groups: limits, and the one kill that nothing escapes.
//!
//! It makes and removes groups below its own `mosaic-<owner>-<data>` only, and never touches another.

use mosaic_common::agent::Limits;
use mosaic_common::{AgentId, Alias};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

mod v1;
mod v2;

use super::procfs::{self, Process};
use crate::folders::Folders;

/// Tasks of ours inside an agent's group, which come on top of the limit: bubblewrap, the
/// program's parent with its three threads, and spares for the moment between joining the group
/// and becoming one of them. The kernel counts threads, not processes.
const OWN_PROCESSES: u32 = 8;

/// How often a kill is repeated before the caller is told that something lives.
///
/// Each round kills all that the last one saw being born; a group that can be frozen needs one.
const KILL_ROUNDS: usize = 20;

/// How long a round waits for what it killed: with all rounds, well inside the removal's budget.
const KILL_ROUND: Duration = Duration::from_millis(100);

/// The groups below which this spoke makes one for each agent.
#[derive(Debug, Clone)]
pub struct Cgroups {
    roots: Arc<Roots>,
}

/// Where a controller's group of the spoke is, by version.
#[derive(Debug)]
enum Roots {
    V1(Vec<(v1::Controller, PathBuf)>),
    V2(PathBuf),
}

impl Drop for Roots {
    /// Takes the spoke's own groups away with it. One that still holds an agent stays.
    fn drop(&mut self) {
        let roots: Vec<&Path> = match self {
            Self::V1(roots) => roots.iter().map(|(_, root)| root.as_path()).collect(),
            Self::V2(root) => vec![root],
        };
        for root in roots {
            drop(fs::remove_dir(root));
        }
    }
}

/// One agent's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cgroup {
    /// One folder in each hierarchy.
    V1(Vec<(v1::Controller, PathBuf)>),
    /// One folder.
    V2(PathBuf),
}

impl Cgroups {
    /// Finds, and makes, the groups of a spoke below the one that this process is in. `owner` is its
    /// id; `folders` tell two of one id apart.
    ///
    /// # Errors
    /// Why there can be none, for people.
    pub fn detect(owner: &Alias, folders: &Folders) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let name = format!("mosaic-{owner}-{}", folders.fingerprint());
        let roots = v1::roots(&own, &mounts, &name);
        if !roots.is_empty() {
            return Ok(Self {
                roots: Arc::new(Roots::V1(roots)),
            });
        }
        v2::root(&own, &mounts, &name)
            .map(|root| Self {
                roots: Arc::new(Roots::V2(root)),
            })
            .map_err(|reason| format!("control groups cannot be used: {reason}"))
    }

    /// Makes the agent's group and sets its limits.
    pub(crate) fn create(&self, agent: &AgentId, limits: &Limits) -> io::Result<Cgroup> {
        let limits = Limits {
            pids: limits.pids.map(|pids| pids.saturating_add(OWN_PROCESSES)),
            ..*limits
        };
        let cgroup = self.of(agent);
        match &cgroup {
            Cgroup::V1(folders) => v1::create(folders, &limits)?,
            Cgroup::V2(folder) => v2::create(folder, &limits)?,
        }
        Ok(cgroup)
    }

    /// The agent's group, there or not.
    pub(crate) fn of(&self, agent: &AgentId) -> Cgroup {
        match self.roots.as_ref() {
            Roots::V1(roots) => Cgroup::V1(
                roots
                    .iter()
                    .map(|(controller, root)| (*controller, root.join(agent.as_str())))
                    .collect(),
            ),
            Roots::V2(root) => Cgroup::V2(root.join(agent.as_str())),
        }
    }

    /// Every agent that has a group.
    pub(crate) fn agents(&self) -> io::Result<BTreeSet<AgentId>> {
        let roots: Vec<&Path> = match self.roots.as_ref() {
            Roots::V1(roots) => roots.iter().map(|(_, root)| root.as_path()).collect(),
            Roots::V2(root) => vec![root],
        };
        let mut agents = BTreeSet::new();
        for root in roots {
            // Another process of this spoke, such as a check of its configuration, takes the
            // groups away with it when they are empty.
            for folder in folders_in(root)? {
                let name = folder.file_name().and_then(|name| name.to_str());
                agents.extend(name.and_then(|name| name.parse::<AgentId>().ok()));
            }
        }
        Ok(agents)
    }
}

impl Cgroup {
    /// Whether any part of it is there.
    pub(crate) fn exists(&self) -> bool {
        self.folders().any(Path::exists)
    }

    /// The files that a process writes its pid to, to join.
    pub(crate) fn procs(&self) -> Vec<PathBuf> {
        self.folders()
            .map(|folder| folder.join("cgroup.procs"))
            .collect()
    }

    /// How many of its processes the kernel killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let (file, folder) = match self {
            Self::V1(folders) => {
                let memory = |part: &&(v1::Controller, PathBuf)| part.0 == v1::Controller::Memory;
                match folders.iter().find(memory) {
                    Some((_, folder)) => ("memory.oom_control", folder),
                    None => return 0,
                }
            }
            Self::V2(folder) => ("memory.events", folder),
        };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or_default()
    }

    /// Kills every process in it, and returns what is then left: empty is the proof.
    pub(crate) fn kill(&self) -> io::Result<Vec<Process>> {
        for _ in 0..KILL_ROUNDS {
            if self.members()?.is_empty() {
                break;
            }
            self.freeze(v1::FROZEN);
            let members = self.members(); // of a frozen group: none is born unseen
            if let Self::V2(folder) = self {
                v2::kill(folder);
            }
            let killed = members.as_deref().map(procfs::kill).unwrap_or_default();
            self.freeze(v1::THAWED);
            members?;
            procfs::await_end(&killed, KILL_ROUND);
        }
        self.members()
    }

    /// Stops or continues all of it at once, where that can be done.
    fn freeze(&self, state: &str) {
        if let Self::V1(folders) = self {
            v1::freeze(folders, state);
        }
    }

    /// The pids in it and below. Zombies are left out: they wait for a parent, not for a kill.
    pub(crate) fn members(&self) -> io::Result<Vec<Process>> {
        let mut members = BTreeSet::new();
        for folder in self.folders() {
            collect(folder, &mut members)?;
        }
        Ok(members.into_iter().filter_map(Process::find).collect())
    }

    /// Removes it; groups that the agent made inside go first. Succeeds if there is none.
    ///
    /// # Errors
    /// `EBUSY` while something is in it; a dead process may take a moment to leave.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.folders().try_for_each(remove)
    }

    fn folders(&self) -> Box<dyn Iterator<Item = &Path> + '_> {
        match self {
            Self::V1(folders) => Box::new(folders.iter().map(|(_, folder)| folder.as_path())),
            Self::V2(folder) => Box::new(std::iter::once(folder.as_path())),
        }
    }
}

/// Adds the pids in a group and in those below it.
fn collect(folder: &Path, members: &mut BTreeSet<i32>) -> io::Result<()> {
    let text = match fs::read_to_string(folder.join("cgroup.procs")) {
        Err(error) if is_gone(&error) => return Ok(()),
        text => text?,
    };
    members.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for below in folders_in(folder)? {
        collect(&below, members)?;
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    for below in folders_in(folder)? {
        remove(&below)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if is_gone(&error) => Ok(()),
        done => done,
    }
}

fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// A group that is being removed answers with either.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Sets `value` in a group's file.
fn set(folder: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = folder.join(file);
    fs::write(&path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
