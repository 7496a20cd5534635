//! What kill, kill-all and release did.

use super::{UnreachableView, agent::AgentView, text};
use mosaic_common::proto::agent::v1 as pb;
use serde::Serialize;

/// What became of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KillView {
    /// `killed`, `already_ended`, `never_started` or `not_proved`.
    pub outcome: &'static str,
    /// Why it could not be proved.
    pub detail: Option<String>,
    /// The agent afterwards; none if it never started.
    pub agent: Option<AgentView>,
}

/// What became of all agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KillAllView {
    /// Every agent that was alive.
    pub results: Vec<KillAllRow>,
    /// Sites that did not answer; they may not be latched.
    pub unreachable: Vec<UnreachableView>,
    /// Sites that refuse new agents now but could not store that.
    pub latched_in_memory: Vec<String>,
}

/// What became of one of all agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KillAllRow {
    /// Where.
    pub site: String,
    /// Which.
    pub agent_id: String,
    /// As in [`KillView`]; `unreachable` where its site did not answer.
    pub outcome: &'static str,
    /// Why it could not be proved.
    pub detail: Option<String>,
}

/// Which latches were taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleaseView {
    /// Sites that were latched.
    pub released: Vec<String>,
    /// Sites that did not answer.
    pub unreachable: Vec<UnreachableView>,
}

impl KillAllView {
    /// Whether every agent everywhere is known to be dead.
    pub(crate) fn is_proved(&self) -> bool {
        self.unreachable.is_empty() && self.results.iter().all(|row| is_proof(row.outcome))
    }
}

impl KillView {
    /// Whether the agent is known to be dead.
    pub(crate) fn is_proved(&self) -> bool {
        is_proof(self.outcome)
    }
}

/// An outcome that this client does not know proves nothing.
fn is_proof(outcome: &str) -> bool {
    matches!(outcome, "killed" | "already_ended" | "never_started")
}

fn outcome_word(outcome: pb::KillOutcome) -> &'static str {
    match outcome {
        pb::KillOutcome::Unspecified => "unknown",
        pb::KillOutcome::Killed => "killed",
        pb::KillOutcome::AlreadyEnded => "already_ended",
        pb::KillOutcome::NeverStarted => "never_started",
        pb::KillOutcome::NotProved => "not_proved",
        pb::KillOutcome::Unreachable => "unreachable",
    }
}

impl From<pb::KillResponse> for KillView {
    fn from(wire: pb::KillResponse) -> Self {
        Self {
            outcome: outcome_word(wire.outcome()),
            detail: text(wire.detail),
            agent: wire.agent.map(AgentView::from),
        }
    }
}

impl From<pb::KillAllResponse> for KillAllView {
    fn from(wire: pb::KillAllResponse) -> Self {
        Self {
            results: wire.results.into_iter().map(KillAllRow::from).collect(),
            unreachable: wire.unreachable.into_iter().map(Into::into).collect(),
            latched_in_memory: wire.latched_in_memory,
        }
    }
}

impl From<pb::KillAllResult> for KillAllRow {
    fn from(wire: pb::KillAllResult) -> Self {
        Self {
            outcome: outcome_word(wire.outcome()),
            site: wire.site,
            agent_id: wire.agent_id,
            detail: text(wire.detail),
        }
    }
}

impl From<pb::ReleaseResponse> for ReleaseView {
    fn from(wire: pb::ReleaseResponse) -> Self {
        Self {
            released: wire.released,
            unreachable: wire.unreachable.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kill(outcome: i32) -> KillView {
        let detail = String::new();
        KillView::from(pb::KillResponse {
            outcome,
            agent: None,
            detail,
        })
    }

    #[test]
    fn a_kill_has_the_documented_fields_and_no_others() {
        let expected = json!({"outcome": "never_started", "detail": null, "agent": null});
        assert_eq!(serde_json::to_value(kill(3)).unwrap(), expected);
    }

    #[test]
    fn nothing_but_a_known_good_outcome_proves_a_kill() {
        let proved: Vec<i32> = (0..9)
            .filter(|outcome| kill(*outcome).is_proved())
            .collect();
        assert_eq!(proved, [1, 2, 3]);
    }

    #[test]
    fn a_site_that_did_not_answer_proves_nothing() {
        let silent = pb::Unreachable {
            site: "lab".into(),
            detail: String::new(),
        };
        let view = KillAllView::from(pb::KillAllResponse {
            results: vec![],
            unreachable: vec![silent],
            latched_in_memory: vec![],
        });
        assert!(!view.is_proved());
    }
}
