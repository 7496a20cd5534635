//! What one ending did, step by step.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of a cleanup step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, or already so.
    Done,
    /// There was nothing to do.
    Skipped,
    /// It could not be done.
    Failed,
}

/// One step of an ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was skipped or failed, or what was done, for people.
    pub detail: String,
}

impl Step {
    /// A step that was done.
    pub fn done(detail: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Done,
            detail: detail.into(),
        }
    }

    /// A step with nothing to do, and why.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Skipped,
            detail: why.into(),
        }
    }

    /// A step that could not be done, and why.
    pub fn failed(why: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            detail: why.into(),
        }
    }
}

/// What one ending did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupReport {
    /// The sandbox: stopped, proved dead, removed.
    pub sandbox: Step,
    /// The work: committed to the rescue ref.
    pub rescue: Step,
    /// The worktree: removed.
    pub worktree: Step,
    /// The live state: cleared.
    pub state: Step,
    /// The commit that holds the agent's work; `None` without a repository.
    pub rescue_commit: Option<String>,
    /// The commit the agent started from; `None` without a repository.
    pub base_commit: Option<String>,
    /// Files left out of the rescue because the repository ignores them.
    pub ignored_files: u64,
    /// How often it was carried out.
    #[serde(default)]
    pub attempts: u32,
    /// When what failed is tried again; `None`: nothing is left to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt: Option<Timestamp>,
    /// Where work that cannot be rescued is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quarantine: Option<Quarantine>,
}

/// Work that cannot be rescued, as the agent left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    /// The folder at the spoke.
    pub path: String,
    /// When it was put there.
    pub since: Timestamp,
    /// When it is deleted.
    pub until: Timestamp,
}

impl CleanupReport {
    /// Whether nothing is left to do: no step failed, but for the rescue of work that is kept in
    /// quarantine.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let has_failed = |step: &Step| step.outcome == Outcome::Failed;
        let rescue = self.quarantine.is_none() && has_failed(&self.rescue);
        !rescue
            && ![&self.sandbox, &self.worktree, &self.state]
                .into_iter()
                .any(has_failed)
    }

    /// Whether it says the same as another one, but for when and how often it was tried.
    #[must_use]
    pub fn says_as(&self, other: &Self) -> bool {
        let timeless = |report: &Self| Self {
            attempts: 0,
            next_attempt: None,
            ..report.clone()
        };
        timeless(self) == timeless(other)
    }
}
