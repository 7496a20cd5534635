//! What the spoke tells a supervisor, on standard input; and what it hears back.

use crate::sandbox::cgroup::Cgroup;
use mosaic_common::AgentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What to start. It never touches a disk or a command line: it holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Whose.
    pub(crate) agent: AgentId,
    /// The sandbox's name.
    pub(crate) sandbox: String,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// What the program reads.
    pub(crate) stdin: Vec<u8>,
    /// Where it starts.
    pub(crate) workdir: PathBuf,
    /// The user and group it runs as; `None`: the supervisor's own.
    pub(crate) owner: Option<u32>,
    /// The group that limits it.
    pub(crate) cgroup: Option<Cgroup>,
    /// Bytes of address space of each process, where no group limits memory.
    pub(crate) address_space: Option<u64>,
    /// The file its output goes to.
    pub(crate) output: PathBuf,
    /// Bytes of output to keep.
    pub(crate) output_max: u64,
    /// Bubblewrap and its arguments up to the program; `None`: no namespace.
    pub(crate) bubblewrap: Option<Vec<String>>,
}

/// What a supervisor answers, one line on standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Started {
    /// The program runs.
    Yes,
    /// Another supervisor has this agent.
    Already,
    /// It could not be started, and why.
    No(String),
}
