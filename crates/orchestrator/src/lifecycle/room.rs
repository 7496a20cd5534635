//! Sees to it that a running agent stays within its part of the disk.

use super::Deps;
use mosaic_common::agent::AgentRecord;
use mosaic_common::in_full;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Longest and shortest pause between two counts of one agent's folder: an agent that is far from
/// its limit cannot reach it unseen, and one that is close is watched by the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How fast an agent is thought to fill a disk, in bytes a second: a good disk's pace.
const PACE: u64 = 512 << 20;

/// A pause is at least as many times as long as the count before it, so that counting takes at most
/// two hundredths of a processor for an agent, however many files it makes.
const REST: u32 = 50;

/// Waits until the agent's folder uses more than it may, and returns how much that is. Never, for
/// an agent without a limit.
pub(super) async fn overrun(deps: &Deps, record: &AgentRecord) -> u64 {
    let Some(limit) = record.spec.limits.disk_bytes else {
        return std::future::pending().await;
    };
    loop {
        let begun = Instant::now();
        let used = match deps.worktrees.used(record.id(), limit).await {
            Ok(used) if used > limit => return limit,
            Ok(used) => used,
            Err(error) => {
                // Not the agent's fault; the disk as a whole has a bound of its own.
                warn!(agent.id = %record.id(), error = %in_full(&error), "disk use is not known");
                0
            }
        };
        sleep(pause(begun.elapsed(), limit - used)).await;
    }
}

/// How long to wait before the next count, after one that took so long and left so many bytes.
fn pause(took: Duration, left: u64) -> Duration {
    let soonest = Duration::from_secs(left / PACE);
    soonest.clamp(PAUSE.0, PAUSE.1).max(took * REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_near_its_limit_is_counted_often_and_a_long_count_rarely() {
        let short = Duration::from_millis(1);
        assert_eq!(pause(short, 0), PAUSE.0);
        assert_eq!(pause(short, 5 * PACE), Duration::from_secs(5));
        assert_eq!(pause(short, u64::MAX), PAUSE.1);
        assert_eq!(pause(Duration::from_secs(2), 0), Duration::from_secs(100));
    }
}
