//! What Watch brings.

use super::{agent::state_word, cleanup::CleanupView, time};
use jiff::Timestamp;
use mosaic_common::{
    agent::{Cause, Usage, wire},
    proto::agent::v1 as pb,
};
use serde::Serialize;

/// Something that happened to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    /// `agent.queued`, `agent.running` and so on.
    pub r#type: String,
    /// Its place in its site's log. The cursor of `--after`.
    pub sequence: u64,
    /// Where.
    pub site: String,
    /// Whose.
    pub agent_id: String,
    /// The agent's task id.
    pub task_id: String,
    /// When.
    pub timestamp: Option<Timestamp>,
    /// The state after it.
    pub state: &'static str,
    /// Why the agent ended, on the three final types.
    pub cause: Option<Cause>,
    /// What the ending did, on `agent.cleanup`.
    pub cleanup: Option<CleanupView>,
    /// What the agent has used so far, on `agent.usage`.
    pub usage: Option<Usage>,
}

/// Events that are no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GapView {
    /// Always `gap`: tells it from an event.
    r#type: &'static str,
    /// The first one missing.
    pub first: u64,
    /// The last one missing.
    pub last: u64,
}

impl From<pb::Event> for EventView {
    fn from(wire: pb::Event) -> Self {
        Self {
            r#type: wire.r#type,
            sequence: wire.sequence,
            site: wire.site,
            agent_id: wire.agent_id,
            task_id: wire.task_id,
            timestamp: time(wire.time.as_ref()),
            state: state_word(wire.state),
            cause: wire.cause.as_ref().and_then(wire::parse_cause),
            cleanup: wire.cleanup.map(CleanupView::from),
            usage: wire.usage.as_ref().map(wire::parse_usage),
        }
    }
}

impl From<pb::Gap> for GapView {
    fn from(wire: pb::Gap) -> Self {
        Self {
            r#type: "gap",
            first: wire.first,
            last: wire.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_has_the_documented_fields_and_no_others() {
        let wire = pb::Event {
            sequence: 7,
            r#type: "agent.completed".into(),
            site: "lab".into(),
            agent_id: "ag_x".into(),
            task_id: "t".into(),
            time: Some(prost_types::Timestamp::default()),
            state: pb::AgentState::Completed.into(),
            cause: Some((&Cause::Exit { code: 0 }).into()),
            cleanup: None,
            usage: None,
        };
        let expected = json!({
            "type": "agent.completed", "sequence": 7, "site": "lab", "agentId": "ag_x",
            "taskId": "t", "timestamp": "1970-01-01T00:00:00Z", "state": "completed",
            "cause": {"kind": "exit", "code": 0}, "cleanup": null, "usage": null,
        });
        assert_eq!(
            serde_json::to_value(EventView::from(wire)).unwrap(),
            expected
        );
    }

    #[test]
    fn a_gap_is_told_from_an_event_by_its_type() {
        let gap = GapView::from(pb::Gap { first: 1, last: 4 });
        let expected = json!({"type": "gap", "first": 1, "last": 4});
        assert_eq!(serde_json::to_value(gap).unwrap(), expected);
    }
}
