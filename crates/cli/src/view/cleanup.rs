//! What an ending did.

use super::{text, time};
use jiff::Timestamp;
use mosaic_common::proto::agent::v1 as pb;
use serde::Serialize;

/// What an ending did, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CleanupView {
    /// The sandbox: stopped, proved dead, removed.
    pub sandbox: StepView,
    /// The work: committed to the rescue ref.
    pub rescue: StepView,
    /// The worktree: removed.
    pub worktree: StepView,
    /// The live state: cleared.
    pub state: StepView,
    /// The commit that holds the agent's work.
    pub rescue_commit: Option<String>,
    /// Where that commit stands.
    pub rescue_ref: Option<String>,
    /// Files left out because the repository ignores them.
    pub ignored_files: u64,
    /// How often it was carried out.
    pub attempts: u32,
    /// When what failed is tried again.
    pub next_attempt: Option<Timestamp>,
    /// Where work that cannot be rescued is kept.
    pub quarantine: Option<QuarantineView>,
}

/// Work that cannot be rescued, as the agent left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuarantineView {
    /// The folder at the spoke.
    pub path: String,
    /// When it was put there.
    pub since: Option<Timestamp>,
    /// When it is deleted.
    pub until: Option<Timestamp>,
}

impl From<pb::Quarantine> for QuarantineView {
    fn from(wire: pb::Quarantine) -> Self {
        Self {
            path: wire.path,
            since: time(wire.create_time.as_ref()),
            until: time(wire.expire_time.as_ref()),
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView {
    /// `done`, `skipped` or `failed`.
    pub outcome: &'static str,
    /// Why, or what, for people.
    pub detail: String,
}

impl CleanupView {
    /// The steps with their names, in their order.
    pub(crate) fn steps(&self) -> [(&'static str, &StepView); 4] {
        [
            ("sandbox", &self.sandbox),
            ("rescue", &self.rescue),
            ("worktree", &self.worktree),
            ("state", &self.state),
        ]
    }
}

impl From<pb::CleanupReport> for CleanupView {
    fn from(wire: pb::CleanupReport) -> Self {
        Self {
            sandbox: step(wire.sandbox),
            rescue: step(wire.rescue),
            worktree: step(wire.worktree),
            state: step(wire.state),
            rescue_commit: text(wire.rescue_commit),
            rescue_ref: text(wire.rescue_ref),
            ignored_files: wire.ignored_files,
            attempts: wire.attempts,
            next_attempt: time(wire.next_attempt_time.as_ref()),
            quarantine: wire.quarantine.map(QuarantineView::from),
        }
    }
}

fn step(wire: Option<pb::CleanupStep>) -> StepView {
    let wire = wire.unwrap_or_default();
    let outcome = match wire.outcome() {
        pb::CleanupOutcome::Unspecified => "unknown",
        pb::CleanupOutcome::Done => "done",
        pb::CleanupOutcome::Skipped => "skipped",
        pb::CleanupOutcome::Failed => "failed",
    };
    StepView {
        outcome,
        detail: wire.detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_has_the_documented_fields_and_no_others() {
        let done = pb::CleanupStep {
            outcome: pb::CleanupOutcome::Done.into(),
            detail: "gone".into(),
        };
        let wire = pb::CleanupReport {
            sandbox: Some(done),
            rescue_commit: "abc".into(),
            ignored_files: 2,
            attempts: 1,
            quarantine: Some(pb::Quarantine {
                path: "/q/a".into(),
                create_time: None,
                expire_time: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
            }),
            ..Default::default()
        };
        let expected = json!({
            "sandbox": {"outcome": "done", "detail": "gone"},
            "rescue": {"outcome": "unknown", "detail": ""},
            "worktree": {"outcome": "unknown", "detail": ""},
            "state": {"outcome": "unknown", "detail": ""},
            "rescueCommit": "abc", "rescueRef": null, "ignoredFiles": 2, "attempts": 1,
            "nextAttempt": null,
            "quarantine": {"path": "/q/a", "since": null, "until": "1970-01-01T00:00:01Z"},
        });
        assert_eq!(
            serde_json::to_value(CleanupView::from(wire)).unwrap(),
            expected
        );
    }
}
