//! What becomes of an agent's work: rescued and its worktree removed, or, where it cannot be
//! rescued, kept in quarantine.

use super::{Death, Means, failed};
use crate::worktrees::{self, Rescue};
use mosaic_common::agent::{AgentRecord, Quarantine, Step};
use mosaic_common::failpoint;

/// After so many attempts a rescue is given up: with their pauses, after more than three minutes.
const HOPELESS: u32 = 10;

/// What became of the work.
pub(super) struct Left {
    pub(super) rescue: Step,
    pub(super) worktree: Step,
    /// What was rescued now.
    pub(super) rescued: Option<Rescue>,
    pub(super) quarantine: Option<Quarantine>,
}

/// What a rescue came to.
enum Saved {
    /// There is nothing that could be lost any more.
    Safe(Step, Option<Rescue>),
    /// It is not rescued; whether it is worth another try.
    Unsafe { step: Step, again: bool },
}

pub(super) async fn put_away(means: &Means<'_>, record: &AgentRecord, death: Death) -> Left {
    let before = record.cleanup.as_ref();
    if let Some((report, kept)) =
        before.and_then(|report| Some((report, report.quarantine.as_ref()?)))
    {
        return Left {
            rescue: report.rescue.clone(),
            worktree: report.worktree.clone(),
            rescued: None,
            quarantine: Some(kept.clone()),
        };
    }
    let saved = save(means, record).await;
    failpoint!("cleanup.rescued");
    let may_write = death == Death::Unproved;
    let (rescue, rescued, worktree) = match saved {
        Saved::Safe(step, rescued) if may_write => {
            let why = "kept: something that writes to it may be alive";
            (step, rescued, Step::failed(why))
        }
        Saved::Safe(step, rescued) => (step, rescued, discard(means, record).await),
        Saved::Unsafe { step, again: false } if !may_write => {
            return set_aside(means, record, step).await;
        }
        Saved::Unsafe { step, .. } => (step, None, Step::failed("kept: its work is not rescued")),
    };
    Left {
        rescue,
        worktree,
        rescued,
        quarantine: None,
    }
}

async fn save(means: &Means<'_>, record: &AgentRecord) -> Saved {
    let Some(repository) = &record.spec.repository else {
        return Saved::Safe(Step::skipped("no repository"), None);
    };
    // Also of one that never started, as far as the record knows: a crash may have come between
    // the start of its program and the record of it.
    match means.worktrees.rescue(record.id(), repository).await {
        Ok(rescue) => Saved::Safe(Step::done(said(&rescue)), Some(rescue)),
        Err(worktrees::Error::NoRescue(_)) if record.started.is_none() => {
            Saved::Safe(Step::skipped("it never started"), None)
        }
        Err(error) => {
            let attempts = record.cleanup.as_ref().map_or(0, |report| report.attempts);
            Saved::Unsafe {
                step: failed("rescue", record, &error),
                again: !error.is_lasting() && attempts + 1 < HOPELESS,
            }
        }
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

async fn discard(means: &Means<'_>, record: &AgentRecord) -> Step {
    let repository = record.spec.repository.as_ref();
    match means.worktrees.remove(record.id(), repository).await {
        Ok(()) if repository.is_some() => Step::done("removed"),
        Ok(()) => Step::skipped("no repository"),
        Err(error) => failed("worktree", record, &error),
    }
}

/// Keeps the worktree where no other agent and no clean-up comes by.
async fn set_aside(means: &Means<'_>, record: &AgentRecord, rescue: Step) -> Left {
    let since = means.journal.now();
    let (worktree, quarantine) = match means.worktrees.quarantine(record.id()).await {
        Ok(path) => {
            let kept = Quarantine {
                path: path.display().to_string(),
                since,
                until: since + means.quarantine,
            };
            (Step::done("moved to quarantine"), Some(kept))
        }
        Err(error) => (failed("quarantine", record, &error), None),
    };
    failpoint!("quarantine.moved");
    Left {
        rescue,
        worktree,
        rescued: None,
        quarantine,
    }
}
