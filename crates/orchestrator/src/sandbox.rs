//! Where an agent's processes live.

pub mod bubblewrap;
pub mod cgroup;
pub mod docker;
pub mod process;
pub(crate) mod procfs;
pub mod supervise;
mod supervised;

use mosaic_common::agent::{Cause, Limits};
use mosaic_common::{AgentId, Alias, in_full};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// What a spoke needs from a sandbox, and nothing more. Everything is found from the agent id alone.
#[async_trait::async_trait]
pub trait Sandbox: fmt::Debug + Send + Sync {
    /// Its name in requests and configuration.
    fn name(&self) -> Alias;

    /// Ensures that the agent's program has been started. Succeeds if it was before, running or not.
    ///
    /// # Errors
    /// The step that failed; [`remove`](Self::remove) then clears what there is of it.
    async fn ensure(&self, spec: &SandboxSpec) -> Result<(), Error>;

    /// Waits until the agent's program has ended, and says how. Answers at once if it had.
    /// May be dropped and called again.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such sandbox.
    async fn wait(&self, agent: &AgentId) -> Result<Ending, Error>;

    /// Stops the sandbox, proves every process of it dead, and removes it. The program is asked
    /// first and has `grace` to end; zero kills at once. Succeeds if there is none.
    ///
    /// # Errors
    /// [`Error::Alive`] if something of it could not be seen dead, or nobody could look; any other if
    /// it is dead and could not be removed. It may be called again.
    async fn remove(&self, agent: &AgentId, grace: Duration) -> Result<Removed, Error>;

    /// Every agent of this spoke that has such a sandbox, running or not.
    ///
    /// # Errors
    /// If the machine could not be asked: never an empty list instead.
    async fn list(&self) -> Result<Vec<AgentId>, Error>;
}

/// What to start.
#[derive(Clone)]
pub struct SandboxSpec {
    /// Whose.
    pub agent: AgentId,
    /// Program and arguments. The program is a path, or a name found in `PATH`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited. May hold secrets.
    pub env: BTreeMap<String, String>,
    /// What the program reads on standard input, before its end.
    pub stdin: Vec<u8>,
    /// The agent's own folder, readable and writable inside, at the same path.
    pub folder: PathBuf,
    /// The user and group that own the folder and run the program; `None`: the spoke's own.
    pub owner: Option<u32>,
    /// Where the program starts; inside `folder`.
    pub workdir: PathBuf,
    /// Further folders, readable inside at the same path.
    pub read_only: Vec<PathBuf>,
    /// What it may use. Times are not the sandbox's business.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
    /// The container image, where there are images; `None`: the spoke's own choice.
    pub image: Option<String>,
    /// The file its output is appended to, in the format of [`output`](crate::output).
    pub output: PathBuf,
    /// Bytes of output to keep; what is above is counted and dropped.
    pub output_max: u64,
}

impl fmt::Debug for SandboxSpec {
    /// Leaves out environment and input: they may hold secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SandboxSpec")
            .field("agent", &self.agent)
            .field("workdir", &self.workdir)
            .finish_non_exhaustive()
    }
}

/// What an agent may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Its own loopback only.
    #[default]
    None,
    /// Whatever the machine reaches; in a container without the machine's own loopback.
    Host,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It exited with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed one of its processes for want of memory.
    OutOfMemory,
    /// Nobody saw it.
    Unknown(String),
}

impl Ending {
    /// The cause it gives an agent with these limits.
    #[must_use]
    pub fn cause(self, limits: &Limits) -> Cause {
        match self {
            Self::Exit(code) => Cause::Exit { code },
            Self::Signal(signal) => Cause::Signal { signal },
            Self::OutOfMemory => Cause::OutOfMemory {
                limit_bytes: limits.memory_bytes.unwrap_or_default(),
            },
            Self::Unknown(detail) => Cause::Lost { detail },
        }
    }
}

/// What `remove` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// There was one; this is how its death was proved, for people.
    Dead(String),
    /// There was none.
    Missing,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no sandbox of this agent.
    #[error("there is no sandbox of {0}")]
    Missing(AgentId),
    /// Something of it is still alive.
    #[error("not proved dead: {0}")]
    Alive(String),
    /// It could not be started.
    #[error("cannot start the sandbox: {0}")]
    Start(String),
    /// A step with the operating system failed.
    #[error("cannot {step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The same failure where it came before a proof of death: whatever it was, nothing was seen dead.
    pub(crate) fn unproved(self) -> Self {
        match self {
            Self::Alive(_) => self,
            Self::Missing(_) | Self::Start(_) | Self::System { .. } => Self::Alive(in_full(&self)),
        }
    }
}
