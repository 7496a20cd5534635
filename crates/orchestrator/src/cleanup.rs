//! The one way to end an agent, whatever ended it.
//!
//! # Flow
//! 1. stop the sandbox, prove it dead, remove it; 2. rescue the work; 3. remove the worktree,
//!    only after 2; 4. put the live state away; 5. emit `agent.cleanup`.
//!
//! # Guarantees
//! Best effort: a step that fails is reported, with when it is tried again, and the others go on,
//! but for two that would destroy work: the worktree stays while its work is not rescued, and while
//! something that writes to it may be alive. Work that cannot be rescued at all goes to quarantine,
//! never away. What ran in a sandbox that the operator has forbidden since is not looked for, and
//! ends as lost. "Already gone" is success, so it may be called again until nothing fails. The
//! agent's state becomes final only when it was seen dead. The event is told each time there is
//! something new to tell.

mod report;
mod work;

use crate::journal::Journal;
use crate::sandbox::{self, Removed};
use crate::sandboxes::Sandboxes;
use crate::worktrees::Worktrees;
use jiff::SignedDuration;
use mosaic_common::agent::{AgentRecord, Cause, CleanupReport, Step};
use mosaic_common::{failpoint, in_full};
use std::time::Duration;
use tracing::{info, warn};

pub(crate) use report::pause;

/// What an ending works with.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Where agents live.
    pub sandboxes: &'a Sandboxes,
    /// Where they work.
    pub worktrees: &'a dyn Worktrees,
    /// Remembers and tells.
    pub journal: &'a Journal,
    /// How long work that cannot be rescued is kept.
    pub quarantine: SignedDuration,
}

/// Ends an agent whose record says why it ends, and returns the record as it then stands.
pub async fn remove(means: &Means<'_>, record: &AgentRecord, grace: Duration) -> AgentRecord {
    let (sandbox, death) = stop(means.sandboxes, record, grace).await;
    failpoint!("cleanup.sandbox_removed");
    let left = work::put_away(means, record, death).await;
    failpoint!("cleanup.worktree_removed");
    let report = report::report(record, sandbox, left);
    archive(means.journal, record, report, death).await
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

fn failed(step: &'static str, record: &AgentRecord, error: &dyn std::error::Error) -> Step {
    let detail = in_full(error);
    warn!(agent.id = %record.id(), cleanup.step = step, error = %detail, "cleanup step failed");
    Step::failed(detail)
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
    plan(&mut after, now);
    if !events.is_empty() || is_news(record, &after) {
        events.push(after.cleanup_event(now));
    }
    let Err(error) = journal.publish(&after, &events).await else {
        info!(agent.id = %after.id(), agent.state = after.state.as_str(), "agent cleaned up");
        return after;
    };
    if let Some(report) = &mut after.cleanup {
        report.state = failed("state", record, &error);
    }
    plan(&mut after, now);
    if let Err(error) = journal.tell(&after.cleanup_event(now)).await {
        warn!(agent.id = %after.id(), error = %in_full(&error), "cleanup event could not be stored");
    }
    AgentRecord {
        state: record.state,
        ..after
    }
}

fn plan(record: &mut AgentRecord, now: jiff::Timestamp) {
    if let Some(report) = &mut record.cleanup {
        report.next_attempt = (!report.is_clean()).then(|| now + pause(report.attempts));
    }
}

/// Whether this ending says something that the last one of the same agent did not.
fn is_news(before: &AgentRecord, after: &AgentRecord) -> bool {
    match (&before.cleanup, &after.cleanup) {
        (Some(before), Some(after)) => !after.says_as(before),
        (None, _) | (_, None) => true,
    }
}
