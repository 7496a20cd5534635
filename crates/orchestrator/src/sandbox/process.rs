//! The sandbox that is none: a plain process, its own user where the spoke is root, and the
//! certainty that it can be ended. It has to be asked for.

use super::cgroup::Cgroups;
use super::supervised::Supervised;
use super::{Ending, Error, Removed, Sandbox, SandboxSpec};
use crate::folders::Folders;
use mosaic_common::{AgentId, Alias};
use std::path::PathBuf;
use std::time::Duration;

/// Its name.
pub(crate) const NAME: &str = "process";

/// Agents as plain processes.
#[derive(Debug)]
pub struct ProcessSandbox {
    name: Alias,
    supervised: Supervised,
}

impl ProcessSandbox {
    /// Below these folders; `program` is the executable that plays the supervisor.
    ///
    /// # Errors
    /// Never: it is what works everywhere. The type is that of the others.
    pub fn new(
        folders: &Folders,
        cgroups: Option<Cgroups>,
        program: PathBuf,
    ) -> Result<Self, String> {
        let name = NAME.parse().map_err(|error| format!("{error}"))?;
        Ok(Self {
            name,
            supervised: Supervised::new(folders, cgroups, program),
        })
    }
}

#[async_trait::async_trait]
impl Sandbox for ProcessSandbox {
    fn name(&self) -> Alias {
        self.name.clone()
    }

    async fn ensure(&self, spec: &SandboxSpec) -> Result<(), Error> {
        self.supervised.ensure(NAME, spec, None).await
    }

    async fn wait(&self, agent: &AgentId) -> Result<Ending, Error> {
        self.supervised.wait(agent).await
    }

    async fn remove(&self, agent: &AgentId, grace: Duration) -> Result<Removed, Error> {
        self.supervised.remove(agent, grace).await
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        self.supervised.list(NAME)
    }
}
