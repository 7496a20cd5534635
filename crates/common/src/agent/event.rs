//! What happened to an agent, in the spoke's log.

use super::{AgentState, Cause, CleanupReport, Usage};
use crate::ids::{AgentId, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// Accepted.
    #[serde(rename = "agent.queued")]
    Queued,
    /// Worktree and sandbox are being made.
    #[serde(rename = "agent.spawning")]
    Spawning,
    /// The program runs.
    #[serde(rename = "agent.running")]
    Running,
    /// The program has told what it used so far.
    #[serde(rename = "agent.usage")]
    Usage,
    /// It is being stopped.
    #[serde(rename = "agent.stopping")]
    Stopping,
    /// It ended well.
    #[serde(rename = "agent.completed")]
    Completed,
    /// It ended otherwise.
    #[serde(rename = "agent.failed")]
    Failed,
    /// It was killed and seen dead.
    #[serde(rename = "agent.killed")]
    Killed,
    /// Its ending was carried out; always the last one of an agent.
    #[serde(rename = "agent.cleanup")]
    Cleanup,
}

impl EventType {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "agent.queued",
            Self::Spawning => "agent.spawning",
            Self::Running => "agent.running",
            Self::Usage => "agent.usage",
            Self::Stopping => "agent.stopping",
            Self::Completed => "agent.completed",
            Self::Failed => "agent.failed",
            Self::Killed => "agent.killed",
            Self::Cleanup => "agent.cleanup",
        }
    }
}

impl From<AgentState> for EventType {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::Queued => Self::Queued,
            AgentState::Spawning => Self::Spawning,
            AgentState::Running => Self::Running,
            AgentState::Stopping => Self::Stopping,
            AgentState::Completed => Self::Completed,
            AgentState::Failed => Self::Failed,
            AgentState::Killed => Self::Killed,
        }
    }
}

/// Something that happened to an agent. Its sequence is given by the store's log, beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What kind.
    pub r#type: EventType,
    /// Whose.
    pub agent_id: AgentId,
    /// The agent's task.
    pub task_id: TaskId,
    /// When.
    pub timestamp: Timestamp,
    /// The state after it.
    pub state: AgentState,
    /// Why it ended, on the three final types.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// What the ending did, on `agent.cleanup`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cleanup: Option<CleanupReport>,
    /// What it used so far, on `agent.usage`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<Usage>,
}
