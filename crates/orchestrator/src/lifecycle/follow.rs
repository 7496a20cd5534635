//! Follows a running agent to its end: its program, its limits of time, or a request.

use super::witness::Witness;
use super::{Deps, End, room};
use crate::profile::{Kind, claude};
use crate::sandbox::{Ending, Sandbox};
use mosaic_common::agent::{AgentRecord, Cause, Fault, TimeLimit, Usage};
use std::{path::Path, time::Duration};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

/// How often silence is measured, at most: an idle limit is exact to this.
const LOOK: Duration = Duration::from_secs(5);

/// How often a program whose output is understood is read along: an agent's usage is told at most
/// this often, and a program that does not begin is noticed this late.
const READ_ALONG: Duration = Duration::from_secs(1);

/// Waits for the first reason to end a running agent. Tells meanwhile what it has used.
pub(super) async fn until_the_end(
    deps: &Deps,
    record: &AgentRecord,
    requests: &mut mpsc::Receiver<End>,
    used: &watch::Sender<Option<Usage>>,
) -> End {
    let in_time = |limit| End {
        cause: Cause::TimedOut { limit },
        grace: deps.stop_grace,
    };
    tokio::select! {
        biased;
        end = program(deps, record, used) => end,
        Some(end) = requests.recv() => end,
        () = life(deps, record) => in_time(TimeLimit::WallClock),
        () = silence(deps, record) => in_time(TimeLimit::Idle),
        limit_bytes = room::overrun(deps, record) => End {
            cause: Cause::OutOfDisk { limit_bytes },
            grace: Duration::ZERO, // it goes on writing as long as it lives
        },
    }
}

/// Waits for the program's own end, or until it is clear that it will not begin.
async fn program(deps: &Deps, record: &AgentRecord, used: &watch::Sender<Option<Usage>>) -> End {
    let sandbox = match deps.sandboxes.get(record.spec.sandbox.as_ref()) {
        Ok(sandbox) => sandbox,
        Err(refusal) => return lost(refusal.message),
    };
    let profile = record
        .spec
        .profile
        .as_ref()
        .and_then(|name| deps.spawner.profile(name).ok());
    match profile.map(|profile| &profile.kind) {
        Some(Kind::ClaudeCode(settings)) => {
            claude(deps, record, settings, sandbox.as_ref(), used).await
        }
        Some(Kind::Command) => match ended(sandbox.as_ref(), record).await {
            Ok(ending) => by_itself(ending.cause(&record.spec.limits)),
            Err(end) => end,
        },
        None => match ended(sandbox.as_ref(), record).await {
            Ok(Ending::Exit(_)) => {
                lost("its profile is gone, so its exit code cannot be understood".to_owned())
            }
            Ok(ending) => by_itself(ending.cause(&record.spec.limits)),
            Err(end) => end,
        },
    }
}

/// Waits for the end of Claude Code, and reads along.
async fn claude(
    deps: &Deps,
    record: &AgentRecord,
    settings: &claude::Settings,
    sandbox: &dyn Sandbox,
    used: &watch::Sender<Option<Usage>>,
) -> End {
    let mut witness = Witness::new(deps.spawner.output_file(&record.spec));
    let mut ended = std::pin::pin!(ended(sandbox, record));
    let patience = Duration::from_secs(settings.start_seconds);
    let until = Instant::now() + patience.saturating_sub(lived(deps, record));
    loop {
        let ending = tokio::select! {
            biased;
            ending = &mut ended => Some(ending),
            () = sleep(READ_ALONG) => None,
        };
        witness.catch_up().await;
        used.send_if_modified(|used| {
            let now = witness.usage();
            now.is_some() && std::mem::replace(used, now) != now
        });
        match ending {
            Some(Ok(ending)) => return by_itself(witness.verdict(ending, &record.spec.limits)),
            Some(Err(end)) => return end,
            None if !witness.has_begun() && Instant::now() >= until => {
                return End {
                    cause: Cause::AgentFailed {
                        reason: Fault::StartFailed,
                        detail: format!("it had not begun after {} seconds", patience.as_secs()),
                    },
                    grace: deps.stop_grace,
                };
            }
            None => {}
        }
    }
}

/// Waits for the end of the program.
async fn ended(sandbox: &dyn Sandbox, record: &AgentRecord) -> Result<Ending, End> {
    let ending = sandbox.wait(record.id()).await;
    ending.map_err(|error| lost(mosaic_common::in_full(&error)))
}

fn lost(detail: String) -> End {
    by_itself(Cause::Lost { detail })
}

fn by_itself(cause: Cause) -> End {
    End {
        cause,
        grace: Duration::ZERO,
    }
}

/// How long the program has lived, also through a restart of the spoke.
fn lived(deps: &Deps, record: &AgentRecord) -> Duration {
    let lived = record
        .started
        .map(|started| deps.journal.now().duration_since(started));
    lived
        .and_then(|lived| lived.try_into().ok())
        .unwrap_or(Duration::ZERO)
}

/// Waits for the end of the longest life, counted from the start of the program.
async fn life(deps: &Deps, record: &AgentRecord) {
    let Some(limit) = record.spec.limits.wall_clock() else {
        return std::future::pending().await;
    };
    sleep(limit.saturating_sub(lived(deps, record))).await;
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
