//! Stops a container, and sees that it has.

use super::LOOK;
use super::engine::Engine;
use super::seen::{Phase, Seen};
use crate::sandbox::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a container may take to die of SIGKILL: only a process that the kernel cannot end,
/// such as one that waits for a dead disk, needs longer.
const PROOF: Duration = Duration::from_secs(10);

/// Asks, then kills, until the engine says that the container has stopped: its first process
/// was reaped, and the kernel lets that happen only after every other of its namespace.
pub(super) async fn stop(
    engine: &Engine,
    name: &str,
    seen: Seen,
    grace: Duration,
) -> Result<Seen, Error> {
    if seen.phase.has_stopped() {
        return Ok(seen);
    }
    if !grace.is_zero() && seen.phase == Phase::Running {
        engine.kill(name, "SIGTERM").await?;
        if let Some(seen) = stopped_within(engine, name, grace).await? {
            return Ok(seen);
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < PROOF {
        engine.kill(name, "SIGKILL").await?;
        if seen.phase == Phase::Paused {
            engine.unpause(name).await?; // what is frozen does not die
        }
        if let Some(seen) = stopped_within(engine, name, PROOF / 4).await? {
            return Ok(seen);
        }
    }
    Err(Error::Alive(format!("the container {name} does not stop")))
}

/// Looks until the container has stopped or is gone.
async fn stopped_within(
    engine: &Engine,
    name: &str,
    patience: Duration,
) -> Result<Option<Seen>, Error> {
    let begun = Instant::now();
    loop {
        match engine.inspect(name).await? {
            None => return Ok(Some(Seen::gone())),
            Some(seen) if seen.phase.has_stopped() => return Ok(Some(seen)),
            Some(_) if begun.elapsed() >= patience => return Ok(None),
            Some(_) => sleep(LOOK.min(patience)).await,
        }
    }
}
