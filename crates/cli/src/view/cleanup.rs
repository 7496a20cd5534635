//! What an ending did.

use super::text;
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
            ..Default::default()
        };
        let expected = json!({
            "sandbox": {"outcome": "done", "detail": "gone"},
            "rescue": {"outcome": "unknown", "detail": ""},
            "worktree": {"outcome": "unknown", "detail": ""},
            "state": {"outcome": "unknown", "detail": ""},
            "rescueCommit": "abc", "rescueRef": null, "ignoredFiles": 2,
        });
        assert_eq!(
            serde_json::to_value(CleanupView::from(wire)).unwrap(),
            expected
        );
    }
}
