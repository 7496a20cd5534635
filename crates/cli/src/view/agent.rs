//! One agent.

use super::{cleanup::CleanupView, text, time};
use jiff::Timestamp;
use mosaic_common::{
    agent::{AgentState, Cause, Limits, Usage, wire},
    proto::agent::v1 as pb,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentView {
    /// Its id.
    pub agent_id: String,
    /// Its task id.
    pub task_id: String,
    /// Where it runs.
    pub site: String,
    /// Where it is in its life.
    pub state: &'static str,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// What was asked.
    pub spec: SpecView,
    /// The sandbox kind it runs in.
    pub sandbox: Option<String>,
    /// The connection that asked for it; none for the local operator.
    pub connection: Option<String>,
    /// The command that asked for it.
    pub command_id: String,
    /// When it was accepted.
    pub created: Option<Timestamp>,
    /// When its program started.
    pub started: Option<Timestamp>,
    /// When its program had ended.
    pub ended: Option<Timestamp>,
    /// What its ending did.
    pub cleanup: Option<CleanupView>,
    /// What its program has used so far.
    pub usage: Option<Usage>,
}

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpecView {
    /// The repository's alias.
    pub repository: Option<String>,
    /// Where it started from.
    pub base_ref: Option<String>,
    /// The agent profile.
    pub profile: Option<String>,
    /// The sandbox that was asked for.
    pub sandbox: Option<String>,
    /// The task; left out of listings.
    pub task: Option<String>,
    /// The limits as granted.
    pub limits: Limits,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
}

impl AgentView {
    /// Its state; none if this client does not know it.
    pub(crate) fn known_state(wire: &pb::Agent) -> Option<AgentState> {
        wire::parse_state(wire.state)
    }
}

/// The word for a state on the wire.
pub(crate) fn state_word(wire: i32) -> &'static str {
    wire::parse_state(wire).map_or("unknown", AgentState::as_str)
}

impl From<pb::Agent> for AgentView {
    fn from(wire: pb::Agent) -> Self {
        Self {
            state: state_word(wire.state),
            cause: wire.cause.as_ref().and_then(wire::parse_cause),
            created: time(wire.create_time.as_ref()),
            started: time(wire.start_time.as_ref()),
            ended: time(wire.end_time.as_ref()),
            agent_id: wire.agent_id,
            task_id: wire.task_id,
            site: wire.site,
            spec: wire.spec.map(SpecView::from).unwrap_or_default(),
            sandbox: text(wire.sandbox),
            connection: text(wire.connection_id),
            command_id: wire.command_id,
            cleanup: wire.cleanup.map(CleanupView::from),
            usage: wire.usage.as_ref().map(wire::parse_usage),
        }
    }
}

impl From<pb::AgentSpec> for SpecView {
    fn from(wire: pb::AgentSpec) -> Self {
        Self {
            repository: text(wire.repository),
            base_ref: text(wire.base_ref),
            profile: text(wire.profile),
            sandbox: text(wire.sandbox),
            task: text(wire.task),
            limits: wire.limits.as_ref().map(limits).unwrap_or_default(),
            labels: wire.labels.into_iter().collect(),
        }
    }
}

fn limits(wire: &pb::Limits) -> Limits {
    let seconds = |span: Option<&prost_types::Duration>| {
        let seconds = u64::try_from(span?.seconds).ok()?;
        (seconds > 0).then_some(seconds)
    };
    Limits {
        memory_bytes: (wire.memory_bytes > 0).then_some(wire.memory_bytes),
        cpu_millis: (wire.cpu_millis > 0).then_some(wire.cpu_millis),
        pids: (wire.pids > 0).then_some(wire.pids),
        wall_clock_seconds: seconds(wire.wall_clock.as_ref()),
        idle_seconds: seconds(wire.idle.as_ref()),
        disk_bytes: (wire.disk_bytes > 0).then_some(wire.disk_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_agent_has_the_documented_fields_and_no_others() {
        let wire = pb::Agent {
            agent_id: "ag_x".into(),
            task_id: "t".into(),
            site: "lab".into(),
            state: pb::AgentState::Failed.into(),
            cause: Some((&Cause::OutOfMemory { limit_bytes: 5 }).into()),
            create_time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 500_000_000,
            }),
            spec: Some(pb::AgentSpec {
                repository: "web".into(),
                limits: Some(pb::Limits {
                    memory_bytes: 1024,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let expected = json!({
            "agentId": "ag_x", "taskId": "t", "site": "lab", "state": "failed",
            "cause": {"kind": "out_of_memory", "limitBytes": 5},
            "spec": {
                "repository": "web", "baseRef": null, "profile": null, "sandbox": null,
                "task": null, "limits": {"memoryBytes": 1024}, "labels": {},
            },
            "sandbox": null, "connection": null, "commandId": "",
            "created": "1970-01-01T00:00:01.5Z", "started": null, "ended": null, "cleanup": null,
            "usage": null,
        });
        assert_eq!(
            serde_json::to_value(AgentView::from(wire)).unwrap(),
            expected
        );
    }

    #[test]
    fn a_state_of_a_newer_server_is_unknown_and_not_an_error() {
        let wire = pb::Agent {
            state: 99,
            ..Default::default()
        };
        assert_eq!(AgentView::from(wire).state, "unknown");
    }
}
