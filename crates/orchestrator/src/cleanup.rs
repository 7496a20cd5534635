//! The one way to end an agent, whatever ended it.
//!
//! # Flow
//! 1. stop the sandbox, prove it dead, remove it; 2. rescue the work; 3. remove the worktree,
//!    only after 2; 4. put the live state away; 5. emit `agent.cleanup`, always.
//!
//! # Guarantees
//! Best effort: a step that fails is reported and the others go on, but for two that would
//! destroy work: the worktree stays while its work is not rescued, and while something that
//! writes to it may be alive. What ran in a sandbox that the operator has forbidden since is not
//! looked for, and ends as lost. "Already gone" is success, so it may be called again until
//! nothing fails. The agent's state becomes final only when it was seen dead.

use crate::journal::Journal;
use crate::sandbox::{self, Removed};
use crate::sandboxes::Sandboxes;
use crate::worktrees::{self, Rescue, Worktrees};
use mosaic_common::agent::{AgentRecord, Cause, CleanupReport, Outcome, Step};
use mosaic_common::failpoint;
use mosaic_common::in_full;
use std::time::Duration;
use tracing::{info, warn};

/// Ends an agent whose record says why it ends, and returns the record as it then stands.
pub async fn remove(
    sandboxes: &Sandboxes,
    worktrees: &dyn Worktrees,
    journal: &Journal,
    record: &AgentRecord,
    grace: Duration,
) -> AgentRecord {
    let (sandbox, death) = stop(sandboxes, record, grace).await;
    failpoint!("cleanup.sandbox_removed");
    let (rescue, rescued) = save(worktrees, record).await;
    failpoint!("cleanup.rescued");
    let worktree = discard(worktrees, record, &rescue, death).await;
    failpoint!("cleanup.worktree_removed");
    let report = report(record, sandbox, rescue, worktree, rescued);
    archive(journal, record, report, death).await
}

/// What is known of the agent's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// None of them lives.
    Proved,
    /// Some may.
    Unproved,
    /// Nobody may look: the operator has forbidden the sandbox it was in.
    Unknowable,
}

async fn stop(sandboxes: &Sandboxes, record: &AgentRecord, grace: Duration) -> (Step, Death) {
    let sandbox = match sandboxes.get(record.spec.sandbox.as_ref()) {
        Ok(sandbox) => sandbox,
        Err(why) if is_forbidden(sandboxes, record) => {
            let death = if record.state.is_final() {
                Death::Proved // it was seen dead before
            } else {
                Death::Unknowable
            };
            return (Step::skipped(why.message), death);
        }
        Err(why) => return (Step::failed(why.message), Death::Unproved),
    };
    match sandbox.remove(record.id(), grace).await {
        Ok(Removed::Dead(proof)) => (Step::done(proof), Death::Proved),
        Ok(Removed::Missing) if record.started.is_some() => {
            (Step::done("already gone"), Death::Proved)
        }
        Ok(Removed::Missing) => (Step::skipped("it never started"), Death::Proved),
        Err(error @ sandbox::Error::Alive(_)) => {
            (failed("sandbox", record, &error), Death::Unproved)
        }
        Err(error) => (failed("sandbox", record, &error), Death::Proved),
    }
}

fn is_forbidden(sandboxes: &Sandboxes, record: &AgentRecord) -> bool {
    let sandbox = record.spec.sandbox.as_ref();
    sandbox.is_some_and(|name| sandboxes.is_forbidden(name))
}

async fn save(worktrees: &dyn Worktrees, record: &AgentRecord) -> (Step, Option<Rescue>) {
    let Some(repository) = &record.spec.repository else {
        return (Step::skipped("no repository"), None);
    };
    // Also of one that never started, as far as the record knows: a crash may have come between
    // the start of its program and the record of it.
    match worktrees.rescue(record.id(), repository).await {
        Ok(rescue) => (Step::done(said(&rescue)), Some(rescue)),
        Err(worktrees::Error::NoRescue(_)) if record.started.is_none() => {
            (Step::skipped("it never started"), None)
        }
        Err(error) => (failed("rescue", record, &error), None),
    }
}

fn said(rescue: &Rescue) -> String {
    let commit = &rescue.commit[..rescue.commit.len().min(12)];
    match (rescue.ignored_files, rescue.skipped_files) {
        (0, 0) => format!("commit {commit}"),
        (ignored, 0) => format!("commit {commit}, {ignored} ignored files left out"),
        (ignored, skipped) => {
            format!(
                "commit {commit}, {ignored} ignored files and {skipped} that git cannot hold left out"
            )
        }
    }
}

async fn discard(
    worktrees: &dyn Worktrees,
    record: &AgentRecord,
    rescue: &Step,
    death: Death,
) -> Step {
    if death == Death::Unproved {
        return Step::failed("kept: something that writes to it may be alive");
    }
    if rescue.outcome == Outcome::Failed {
        return Step::failed("kept: its work is not rescued");
    }
    let repository = record.spec.repository.as_ref();
    match worktrees.remove(record.id(), repository).await {
        Ok(()) if repository.is_some() => Step::done("removed"),
        Ok(()) => Step::skipped("no repository"),
        Err(error) => failed("worktree", record, &error),
    }
}

fn failed(step: &'static str, record: &AgentRecord, error: &dyn std::error::Error) -> Step {
    let detail = in_full(error);
    warn!(agent.id = %record.id(), cleanup.step = step, error = %detail, "cleanup step failed");
    Step::failed(detail)
}

fn report(
    record: &AgentRecord,
    sandbox: Step,
    rescue: Step,
    worktree: Step,
    rescued: Option<Rescue>,
) -> CleanupReport {
    let before = record.cleanup.as_ref();
    let (commit, base, ignored_files) = match rescued {
        Some(rescue) => (
            Some(rescue.commit),
            Some(rescue.base_commit),
            rescue.ignored_files,
        ),
        None => (
            before.and_then(|report| report.rescue_commit.clone()),
            before.and_then(|report| report.base_commit.clone()),
            before.map_or(0, |report| report.ignored_files),
        ),
    };
    let state = Step::done("archived");
    CleanupReport {
        sandbox,
        rescue,
        worktree,
        state,
        rescue_commit: commit,
        base_commit: base,
        ignored_files,
    }
}

/// Puts the record away in its final state, and tells. If the store will not take the record,
/// the event is still told on its own.
async fn archive(
    journal: &Journal,
    record: &AgentRecord,
    report: CleanupReport,
    death: Death,
) -> AgentRecord {
    let now = journal.now();
    let mut after = AgentRecord {
        cleanup: Some(report),
        ..record.clone()
    };
    let never_began = matches!(after.cause, Some(Cause::SpawnFailed { .. }));
    if death == Death::Unknowable && !never_began {
        // Nobody saw it dead, so nothing better than this may be said of it.
        let detail = "it was in a sandbox that the configuration disables".to_owned();
        after.cause = Some(Cause::Lost { detail });
    }
    if let (Some(cause), Death::Proved | Death::Unknowable) = (&after.cause, death) {
        after.state = cause.state();
        after.ended = after.ended.or(Some(now));
    }
    let mut events = Vec::new();
    if after.state != record.state {
        events.push(after.state_event(now));
    }
    events.push(after.cleanup_event(now));
    let Err(error) = journal.publish(&after, &events).await else {
        info!(agent.id = %after.id(), agent.state = after.state.as_str(), "agent cleaned up");
        return after;
    };
    if let Some(report) = &mut after.cleanup {
        report.state = failed("state", record, &error);
    }
    if let Err(error) = journal.tell(&after.cleanup_event(now)).await {
        warn!(agent.id = %after.id(), error = %in_full(&error), "cleanup event could not be stored");
    }
    AgentRecord {
        state: record.state,
        ..after
    }
}
