//! One agent, as its spoke remembers it.

use super::{AgentState, Cause, CleanupReport, Event, EventType, Outcome, Spec, Usage};
use crate::ids::{AgentId, Alias, CommandId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One agent, as its spoke remembers it: intent and outcome, never how far a step got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRecord {
    /// What was asked, with limits as granted.
    pub spec: Spec,
    /// The site it runs at.
    pub site: Alias,
    /// Where it is in its life.
    pub state: AgentState,
    /// Why it ended, or is being ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// The connection that asked for it; `None` for the local operator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<Alias>,
    /// The command that asked for it.
    pub command_id: CommandId,
    /// When it was accepted.
    pub created: Timestamp,
    /// When its program started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started: Option<Timestamp>,
    /// When its program had ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Timestamp>,
    /// What its ending did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cleanup: Option<CleanupReport>,
    /// What its program has used so far; `None` of a kind that does not tell, or has not yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<Usage>,
}

impl AgentRecord {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &AgentId {
        &self.spec.agent_id
    }

    /// Whether it has ended: nothing of it lives. Its state becomes final with that, unless the
    /// store would not take it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_dead = |report: &CleanupReport| report.sandbox.outcome != Outcome::Failed;
        self.state.is_final() || self.cleanup.as_ref().is_some_and(is_dead)
    }

    /// The event that says it is now in its state.
    #[must_use]
    pub fn state_event(&self, timestamp: Timestamp) -> Event {
        let cause = if self.state.is_final() {
            self.cause.clone()
        } else {
            None
        };
        Event {
            cause,
            ..self.event(self.state.into(), timestamp)
        }
    }

    /// The event that says its ending was carried out.
    #[must_use]
    pub fn cleanup_event(&self, timestamp: Timestamp) -> Event {
        Event {
            cleanup: self.cleanup.clone(),
            ..self.event(EventType::Cleanup, timestamp)
        }
    }

    /// The event that says what its program has used so far.
    #[must_use]
    pub fn usage_event(&self, timestamp: Timestamp) -> Event {
        Event {
            usage: self.usage,
            ..self.event(EventType::Usage, timestamp)
        }
    }

    fn event(&self, r#type: EventType, timestamp: Timestamp) -> Event {
        let (agent_id, task_id) = (self.spec.agent_id.clone(), self.spec.task_id.clone());
        Event {
            r#type,
            agent_id,
            task_id,
            timestamp,
            state: self.state,
            cause: None,
            cleanup: None,
            usage: None,
        }
    }
}
