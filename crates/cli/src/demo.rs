//! `mosaic demo`: the whole of Mosaic on one machine, told as it happens.
//!
//! A hub and two spokes run as processes of their own, with their own keys and folders. Agents
//! complete, fail and are killed; everything is cleaned up; and a reader that asks none of them
//! counts what is left. Every claim is checked: the first that does not hold ends the demo with
//! exit code 1.

mod cast;
mod claims;
mod scene;
mod tale;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::Inventory;
use anyhow::{Context, bail};
use cast::Cast;
use claims::Hub;
use mosaic_common::proto::agent::v1 as pb;
use orchestrator::config::SandboxName;
use scene::Scene;
use std::path::PathBuf;
use std::time::Duration;
use tale::Tale;
use tokio::time::Instant;

/// How long the demo may take, once it is built.
const BOUND: Duration = Duration::from_secs(60);

/// How to play the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Where agents live: bubblewrap or process. Default: bubblewrap where it works.
    #[arg(long)]
    sandbox: Option<SandboxName>,
    /// Keep the demo's folder, to look around in.
    #[arg(long)]
    keep: bool,
}

/// What each agent is told to do, as a shell script on its standard input.
const FINISH: &str = r#"
echo "reading the task"
printf 'Hello from %s.\n' "$MOSAIC_TASK_ID" > greeting.txt
git add greeting.txt && git commit -qm "Add a greeting"
echo "left uncommitted on purpose" > notes.txt
echo "done: one commit, and one file I forgot to commit"
"#;
const FAIL: &str = r#"
echo "half of the work" > half.txt
echo "something is wrong here" >&2
exit 3
"#;
const RUN_AWAY: &str = r#"
git checkout -qb side && echo "on a side branch" > side.txt
git add side.txt && git commit -qm "Work on a side branch"
echo "not committed anywhere" > draft.txt
setsid sleep 1000 &
(setsid sh -c 'while :; do sleep 1; done' &)
echo "my children have left my session; killing my process group will not do"
exec sleep 1000
"#;

/// Plays the demo. It tells its own failures, as part of the tale.
///
/// # Errors
/// Never: what does not hold is told, and is the exit code.
pub(crate) async fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    let mut tale = Tale::new();
    let played = tokio::time::timeout(BOUND, play(args, &mut tale)).await;
    let too_long = |_| {
        Err(anyhow::anyhow!(
            "it took longer than {} seconds",
            BOUND.as_secs()
        ))
    };
    match played.unwrap_or_else(too_long) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            tale.failed(&error);
            Ok(Exit::AgentFailed)
        }
    }
}

async fn play(args: &DemoArgs, tale: &mut Tale) -> anyhow::Result<()> {
    let began = Instant::now();
    tale.title("Mosaic: one hub, two sites, and agents that leave nothing behind");
    let scene = Scene::set(args.sandbox)
        .await
        .context("cannot set the scene")?;
    tale.say(&format!(
        "everything happens in {}",
        scene.folder().display()
    ));
    tale.say(&format!("agents live in: {}", scene.sandbox_and_why()));
    if let Some(warning) = scene.warning() {
        tale.warn(warning);
    }
    let played = stage(tale, &scene).await;
    if played.is_err() {
        tale.logs(&scene);
    }
    played?;
    if args.keep {
        tale.say(&format!("kept: {}", scene.keep().display()));
    }
    tale.end(began.elapsed());
    Ok(())
}

/// Brings the cast on, plays, and sees everybody off.
async fn stage(tale: &mut Tale, scene: &Scene) -> anyhow::Result<()> {
    let mut cast = Cast::start(scene)
        .await
        .context("cannot start hub and spokes")?;
    tale.cast(scene, &cast);
    let played = acts(tale, scene, &cast).await;
    let stopped = cast.stop().await;
    played?;
    stopped.context("hub or spokes did not stop cleanly")?;
    tale.claim("hub and spokes stopped when asked, within their time");
    Ok(())
}

async fn acts(tale: &mut Tale, scene: &Scene, cast: &Cast) -> anyhow::Result<()> {
    let hub = Hub::connect(&scene.endpoint(), scene.token()).await?;
    tale.act("Four agents, each by a command that the hub signs and its site verifies");
    let finisher = hub.spawn("alpha", "write-a-greeting", FINISH).await?;
    let failer = hub.spawn("beta", "fail-halfway", FAIL).await?;
    let runaway = hub.spawn("alpha", "run-away", RUN_AWAY).await?;
    let sleeper = hub
        .spawn("beta", "sleep-in", "echo asleep; sleep 1000")
        .await?;
    let agents = [&finisher, &failer, &runaway, &sleeper];
    for agent in agents {
        tale.spawned(agent);
    }
    let retried = hub.spawn_again(&finisher, FINISH).await?;
    ensure(
        retried.agent_id == finisher.agent_id,
        "a repeated command made a second agent",
    )?;
    tale.claim("the first command, sent once more, gave the same agent and no second one");

    tale.act("They run; events and output arrive as they happen");
    hub.until(&runaway, |agent| agent.state() == pb::AgentState::Running)
        .await?;
    hub.until(&sleeper, |agent| agent.state() == pb::AgentState::Running)
        .await?;
    hub.until_it_says(&runaway, "killing my process group will not do")
        .await?;
    hub.until_it_says(&sleeper, "asleep").await?;
    let during = inventory(scene, cast).await?;
    tale.inventory(
        "while they run, a reader that asks neither hub nor spoke counts",
        &during,
    );
    let seen = during.sandboxes >= 2
        && during.worktrees >= 2
        && during.live_records >= 2
        && during.processes >= 4;
    ensure(seen, "the reader does not see the agents that run")?;

    tale.act("One completes, one fails");
    let done = hub
        .until(&finisher, |agent| agent.cleanup.is_some())
        .await?;
    ensure(
        done.state() == pb::AgentState::Completed,
        "the finisher did not complete",
    )?;
    tale.output(&finisher, &hub.output(&finisher).await?);
    let result = hub.result(&finisher).await?;
    ensure(
        result.patch.contains("greeting.txt"),
        "the commit is not in the patch",
    )?;
    ensure(
        result.patch.contains("notes.txt"),
        "the uncommitted file is not in the patch",
    )?;
    tale.patch(&result);
    let failed = hub.until(&failer, |agent| agent.cleanup.is_some()).await?;
    ensure(
        exit_code(&failed) == Some(3),
        "the failure's exit code is not told",
    )?;
    ensure(
        hub.result(&failer).await?.patch.contains("half.txt"),
        "the failed agent's work is lost",
    )?;
    tale.claim("the failed agent ended with exit code 3, and its half-done work is kept");

    tale.act("One is killed, children and all; then everything, at once");
    let killed = hub.kill(&runaway).await?;
    ensure(
        killed.outcome() == pb::KillOutcome::Killed,
        "the kill was not proved",
    )?;
    tale.killed(&runaway, killed.agent.as_ref());
    let patch = hub.result(&runaway).await?.patch;
    ensure(
        patch.contains("draft.txt"),
        "the killed agent's uncommitted work is lost",
    )?;
    tale.claim("what the killed agent had not committed is in its rescue commit");
    let swept = hub.kill_all().await?;
    let proved = swept
        .results
        .iter()
        .all(|result| result.outcome() == pb::KillOutcome::Killed);
    ensure(
        swept.unreachable.is_empty() && proved,
        "kill-all left something",
    )?;
    let refused = hub
        .spawn("alpha", "too-late", "true")
        .await
        .err()
        .map(|error| error.to_string());
    ensure(
        refused.is_some_and(|why| why.contains("SPAWNS_LATCHED")),
        "a spawn came in behind kill-all",
    )?;
    tale.claim(&format!(
        "kill-all ended {} more, and nothing may start until it is released",
        swept.results.len()
    ));
    hub.release().await?;

    tale.act("What each ending did");
    for agent in agents {
        tale.cleanup(&hub.until(agent, |agent| agent.cleanup.is_some()).await?);
    }
    tale.events(&hub.events("alpha").await?, &hub.events("beta").await?);
    nothing_is_left(tale, scene, cast, agents.len()).await
}

async fn nothing_is_left(
    tale: &mut Tale,
    scene: &Scene,
    cast: &Cast,
    agents: usize,
) -> anyhow::Result<()> {
    let after = inventory(scene, cast).await?;
    tale.inventory("the same reader, now", &after);
    let expected = Inventory {
        archived_records: agents,
        rescue_refs: agents,
        ..Inventory::default()
    };
    ensure(after == expected, "something is left, or something is lost")?;
    tale.claim("0 sandboxes, 0 worktrees, 0 processes, 0 live records; every rescue ref resolves");
    Ok(())
}

/// Takes stock of both sites, in a process of its own.
async fn inventory(scene: &Scene, cast: &Cast) -> anyhow::Result<Inventory> {
    let mut sum = Inventory::default();
    for data in scene.spoke_folders() {
        sum = sum.and(&cast.inventory(&data).await?);
    }
    Ok(sum)
}

fn exit_code(agent: &pb::Agent) -> Option<i32> {
    match agent.cause.as_ref()?.kind.as_ref()? {
        pb::cause::Kind::ExitCode(code) => Some(*code),
        _ => None,
    }
}

fn ensure(holds: bool, otherwise: &str) -> anyhow::Result<()> {
    if holds { Ok(()) } else { bail!("{otherwise}") }
}

/// The program that plays every part.
fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}
