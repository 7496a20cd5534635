//! What is on this machine of one spoke, seen from outside: nobody who made it is asked.
//!
//! It reads; it changes nothing, and never opens the store's files.

mod docker;
mod files;
mod git;
mod groups;
mod processes;
mod valkey;

pub use git::{Rescued, rescued};
pub use processes::processes_of;

use anyhow::{Context, Result};
use mosaic_common::AgentId;
use std::path::{Path, PathBuf};

/// Where to look.
#[derive(Debug, Clone)]
pub struct Place {
    /// The spoke's data folder.
    pub data: PathBuf,
    /// The spoke's name, which its groups and keys bear.
    pub site: String,
    /// Whether to ask the container engine.
    pub engine: Engine,
    /// Valkey's port on this machine, if the spoke is copied there.
    pub valkey: Option<u16>,
}

/// Whether there is an engine to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Ask it; that it does not answer is an error.
    Asked,
    /// The spoke uses none.
    Unused,
}

/// One thing that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// The agent that it bears the name of.
    pub agent: Option<String>,
    /// Where, for people; for a key its state.
    pub place: String,
}

/// The kinds of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A container, running or not.
    Container,
    /// A network of the engine.
    Network,
    /// A volume of the engine.
    Volume,
    /// A process that watches over an agent.
    Supervisor,
    /// Any other process of an agent.
    Process,
    /// A process namespace that processes of an agent live in, other than the machine's own.
    Namespace,
    /// A control group.
    Group,
    /// A mount below the data folder.
    Mount,
    /// An agent's folder, with its worktree.
    Worktree,
    /// A supervisor's folder.
    RunFolder,
    /// A file of output.
    Output,
    /// Work that could not be rescued, as its agent left it.
    Quarantine,
    /// Something on its way to be deleted.
    Trash,
    /// A folder that something is being built in.
    Draft,
    /// A lock that git takes and gives back.
    Lock,
    /// A ref that keeps the commit an agent started from.
    Pin,
    /// A live agent's key in Valkey; its place is the state it tells.
    Key,
    /// A name in Valkey's set of live agents.
    Member,
}

/// Looks at everything.
///
/// # Errors
/// What could not be looked at: then nothing can be said.
pub fn look(place: &Place) -> Result<Vec<Thing>> {
    let mut things = files::look(&place.data).context("the data folder")?;
    things.extend(git::look(&place.data).context("the repositories")?);
    things.extend(groups::look(&place.data));
    things.extend(processes::look(&place.data, &things).context("the processes")?);
    things.extend(mounts(&place.data)?);
    if place.engine == Engine::Asked {
        things.extend(docker::look(place).context("the container engine")?);
    }
    if let Some(port) = place.valkey {
        things.extend(valkey::look(port, &place.site).context("valkey")?);
    }
    things.sort();
    Ok(things)
}

fn mounts(data: &Path) -> Result<Vec<Thing>> {
    let text = std::fs::read_to_string("/proc/mounts").context("the mounts")?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(1));
    let ours =
        points.filter(|point| Path::new(point).starts_with(data) && Path::new(point) != data);
    Ok(ours.map(|point| Thing::new(Kind::Mount, point)).collect())
}

impl Thing {
    /// A thing whose agent, if it has one, stands in its place.
    pub(crate) fn new(kind: Kind, place: &str) -> Self {
        Self {
            kind,
            agent: agent_in(place),
            place: place.to_owned(),
        }
    }

    /// A thing of this agent.
    pub(crate) fn of(kind: Kind, agent: &str, place: impl Into<String>) -> Self {
        Self {
            kind,
            agent: Some(agent.to_owned()),
            place: place.into(),
        }
    }
}

/// The first agent id in a text.
fn agent_in(text: &str) -> Option<String> {
    /// `ag_` and 26 characters.
    const LENGTH: usize = 29;
    text.match_indices("ag_").find_map(|(at, _)| {
        let id = text.get(at..at + LENGTH)?;
        id.parse::<AgentId>().ok().map(|id| id.to_string())
    })
}
