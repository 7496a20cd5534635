//! What one ending did, step by step.

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
}

impl CleanupReport {
    /// Whether no step failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [&self.sandbox, &self.rescue, &self.worktree, &self.state]
            .iter()
            .all(|step| step.outcome != Outcome::Failed)
    }
}
