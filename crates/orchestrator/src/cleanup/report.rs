//! What an ending reports, and when what failed is tried again. Pure.

use super::work::Left;
use mosaic_common::agent::{AgentRecord, CleanupReport, Outcome, Step};
use std::time::Duration;

/// The first pause after an ending that was not clean, and the longest: quick enough that a
/// passing fault is over before anybody looks, slow enough that a lasting one costs nothing.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How long after so many attempts the next one comes.
pub(crate) fn pause(attempts: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1));
    PAUSE
        .0
        .saturating_mul(doubled.unwrap_or(u32::MAX))
        .min(PAUSE.1)
}

/// Puts together what this ending did. What an earlier one found out stays.
pub(super) fn report(record: &AgentRecord, sandbox: Step, left: Left) -> CleanupReport {
    let before = record.cleanup.as_ref();
    let (commit, base, ignored_files) = match left.rescued {
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
    // The first proof of a death says more than "already gone".
    let proof = before.map(|report| &report.sandbox);
    let proof = proof.filter(|step| [step.outcome, sandbox.outcome] == [Outcome::Done; 2]);
    CleanupReport {
        sandbox: proof.cloned().unwrap_or(sandbox),
        rescue: left.rescue,
        worktree: left.worktree,
        state: Step::done("archived"),
        rescue_commit: commit,
        base_commit: base,
        ignored_files,
        attempts: before.map_or(0, |report| report.attempts).saturating_add(1),
        next_attempt: None,
        quarantine: left.quarantine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_never_overflow() {
        let seconds = [1, 2, 3, 8, 9, 33, u32::MAX].map(|attempts| pause(attempts).as_secs_f32());
        assert_eq!(seconds, [0.5, 1.0, 2.0, 60.0, 60.0, 60.0, 60.0]);
    }
}
