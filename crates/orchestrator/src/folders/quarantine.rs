//! Work that could not be rescued: kept where no other agent and no clean-up comes by.

use super::{Error, Folders, failed, trash};
use mosaic_common::AgentId;
use std::{fs, path::PathBuf};

impl Folders {
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

    /// Whether there is any work of the agent, at its place or in the quarantine.
    #[must_use]
    pub fn has_work(&self, agent: &AgentId) -> bool {
        self.agent(agent).exists() || self.is_aside(agent)
    }
}
