//! Follows a running agent to its end: its program, its limits of time, or a request.

use super::{Deps, End};
use mosaic_common::agent::{AgentRecord, Cause, TimeLimit};
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How often silence is measured, at most: an idle limit is exact to this.
const LOOK: Duration = Duration::from_secs(5);

/// Waits for the first reason to end a running agent.
pub(super) async fn until_the_end(
    deps: &Deps,
    record: &AgentRecord,
    requests: &mut mpsc::Receiver<End>,
) -> End {
    let by_itself = |cause| End {
        cause,
        grace: Duration::ZERO,
    };
    let in_time = |limit| End {
        cause: Cause::TimedOut { limit },
        grace: deps.stop_grace,
    };
    tokio::select! {
        biased;
        cause = program(deps, record) => by_itself(cause),
        Some(end) = requests.recv() => end,
        () = life(deps, record) => in_time(TimeLimit::WallClock),
        () = silence(deps, record) => in_time(TimeLimit::Idle),
    }
}

/// Waits for the program's own end.
async fn program(deps: &Deps, record: &AgentRecord) -> Cause {
    let lost = |detail: String| Cause::Lost { detail };
    let sandbox = match deps.sandboxes.get(record.spec.sandbox.as_ref()) {
        Ok(sandbox) => sandbox,
        Err(refusal) => return lost(refusal.message),
    };
    let ending = match sandbox.wait(record.id()).await {
        Ok(ending) => ending,
        Err(error) => return lost(mosaic_common::in_full(&error)),
    };
    let profile = record
        .spec
        .profile
        .as_ref()
        .and_then(|name| deps.spawner.profile(name).ok());
    match profile {
        Some(profile) => profile.kind.verdict(ending, &record.spec.limits),
        None => ending.cause(&record.spec.limits),
    }
}

/// Waits for the end of the longest life, counted from the start of the program, also
/// through a restart of the spoke.
async fn life(deps: &Deps, record: &AgentRecord) {
    let Some(limit) = record.spec.limits.wall_clock() else {
        return std::future::pending().await;
    };
    let lived = record
        .started
        .map(|started| deps.journal.now().duration_since(started));
    let lived = lived
        .and_then(|lived| lived.try_into().ok())
        .unwrap_or(Duration::ZERO);
    sleep(limit.saturating_sub(lived)).await;
}

/// Waits for the longest silence: no growth of the output file.
async fn silence(deps: &Deps, record: &AgentRecord) {
    let Some(limit) = record.spec.limits.idle() else {
        return std::future::pending().await;
    };
    let file = deps.spawner.output_file(&record.spec);
    let (mut length, mut since) = (length(&file).await, Instant::now());
    while since.elapsed() < limit {
        sleep(LOOK.min(limit / 4)).await;
        let now = self::length(&file).await;
        // A full file cannot grow, so its silence says nothing.
        if now != length || now >= deps.spawner.output_max {
            (length, since) = (now, Instant::now());
        }
    }
}

async fn length(file: &Path) -> u64 {
    tokio::fs::metadata(file)
        .await
        .map_or(0, |metadata| metadata.len())
}
