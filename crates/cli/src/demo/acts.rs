//! The acts of the demo: what the agents do, and what must then be true.

use super::cast::Cast;
use super::claims::{Hub, Spawned};
use super::scene::Scene;
use super::tale::Tale;
use crate::inventory::Inventory;
use anyhow::bail;
use mosaic_common::proto::agent::v1 as pb;

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
const SLEEP: &str = "echo asleep; sleep 1000";
const RUN_AWAY: &str = r#"
git checkout -qb side && echo "on a side branch" > side.txt
git add side.txt && git commit -qm "Work on a side branch"
echo "not committed anywhere" > draft.txt
setsid sleep 1000 &
(setsid sh -c 'while :; do sleep 1; done' &)
echo "my children have left my session; killing my process group will not do"
exec sleep 1000
"#;

/// The agents of the demo, one for each way to end.
struct Agents {
    finisher: Spawned,
    failer: Spawned,
    runaway: Spawned,
    sleeper: Spawned,
}

impl Agents {
    fn all(&self) -> [&Spawned; 4] {
        [&self.finisher, &self.failer, &self.runaway, &self.sleeper]
    }
}

/// Plays the acts, one after the other; each checks what it claims.
pub(super) async fn acts(tale: &mut Tale, scene: &Scene, cast: &Cast) -> anyhow::Result<()> {
    let hub = Hub::connect(&scene.endpoint(), scene.token()).await?;
    let agents = they_are_spawned(tale, &hub).await?;
    they_run(tale, &hub, &agents, &Reader { scene, cast }).await?;
    one_completes_and_one_fails(tale, &hub, &agents).await?;
    they_are_killed(tale, &hub, &agents).await?;
    tale.act("What each ending did");
    for agent in agents.all() {
        tale.cleanup(&hub.until(agent, |agent| agent.cleanup.is_some()).await?);
    }
    tale.events(&hub.events("alpha").await?, &hub.events("beta").await?);
    nothing_is_left(tale, scene, cast, agents.all().len()).await
}

async fn they_are_spawned(tale: &mut Tale, hub: &Hub) -> anyhow::Result<Agents> {
    tale.act("Four agents, each by a command that the hub signs and its site verifies");
    let agents = Agents {
        finisher: hub.spawn("alpha", "write-a-greeting", FINISH).await?,
        failer: hub.spawn("beta", "fail-halfway", FAIL).await?,
        runaway: hub.spawn("alpha", "run-away", RUN_AWAY).await?,
        sleeper: hub.spawn("beta", "sleep-in", SLEEP).await?,
    };
    for agent in agents.all() {
        tale.spawned(agent);
    }
    let retried = hub.spawn_again(&agents.finisher, FINISH).await?;
    let is_same = retried.agent_id == agents.finisher.agent_id;
    ensure(is_same, "a repeated command made a second agent")?;
    tale.claim("the first command, sent once more, gave the same agent and no second one");
    Ok(agents)
}

async fn they_run(
    tale: &mut Tale,
    hub: &Hub,
    agents: &Agents,
    reader: &Reader<'_>,
) -> anyhow::Result<()> {
    tale.act("They run; events and output arrive as they happen");
    let is_running = |agent: &pb::Agent| agent.state() == pb::AgentState::Running;
    hub.until(&agents.runaway, is_running).await?;
    hub.until(&agents.sleeper, is_running).await?;
    hub.until_it_says(&agents.runaway, "killing my process group will not do")
        .await?;
    hub.until_it_says(&agents.sleeper, "asleep").await?;
    let during = reader.take().await?;
    tale.inventory(
        "while they run, a reader that asks neither hub nor spoke counts",
        &during,
    );
    let counts = [during.sandboxes, during.worktrees, during.live_records];
    let seen = counts.iter().all(|count| *count >= 2) && during.processes >= 4;
    ensure(seen, "the reader does not see the agents that run")
}

async fn one_completes_and_one_fails(
    tale: &mut Tale,
    hub: &Hub,
    agents: &Agents,
) -> anyhow::Result<()> {
    tale.act("One completes, one fails");
    let done = hub
        .until(&agents.finisher, |agent| agent.cleanup.is_some())
        .await?;
    ensure(
        done.state() == pb::AgentState::Completed,
        "the finisher did not complete",
    )?;
    tale.output(&agents.finisher, &hub.output(&agents.finisher).await?);
    let result = hub.result(&agents.finisher).await?;
    ensure(
        result.patch.contains("greeting.txt"),
        "the commit is not in the patch",
    )?;
    ensure(
        result.patch.contains("notes.txt"),
        "the uncommitted file is not in the patch",
    )?;
    tale.patch(&result);
    let failed = hub
        .until(&agents.failer, |agent| agent.cleanup.is_some())
        .await?;
    ensure(
        exit_code(&failed) == Some(3),
        "the failure's exit code is not told",
    )?;
    let kept = hub.result(&agents.failer).await?.patch.contains("half.txt");
    ensure(kept, "the failed agent's work is lost")?;
    tale.claim("the failed agent ended with exit code 3, and its half-done work is kept");
    Ok(())
}

async fn they_are_killed(tale: &mut Tale, hub: &Hub, agents: &Agents) -> anyhow::Result<()> {
    tale.act("One is killed, children and all; then everything, at once");
    let killed = hub.kill(&agents.runaway).await?;
    ensure(
        killed.outcome() == pb::KillOutcome::Killed,
        "the kill was not proved",
    )?;
    tale.killed(&agents.runaway, killed.agent.as_ref());
    let patch = hub.result(&agents.runaway).await?.patch;
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
    let refused = hub.spawn("alpha", "too-late", "true").await.err();
    let latched = refused.is_some_and(|why| why.to_string().contains("SPAWNS_LATCHED"));
    ensure(latched, "a spawn came in behind kill-all")?;
    let count = swept.results.len();
    tale.claim(&format!(
        "kill-all ended {count} more, and nothing may start until it is released"
    ));
    hub.release().await
}

async fn nothing_is_left(
    tale: &mut Tale,
    scene: &Scene,
    cast: &Cast,
    agents: usize,
) -> anyhow::Result<()> {
    let after = Reader { scene, cast }.take().await?;
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
struct Reader<'a> {
    scene: &'a Scene,
    cast: &'a Cast,
}

impl Reader<'_> {
    async fn take(&self) -> anyhow::Result<Inventory> {
        let mut sum = Inventory::default();
        for data in self.scene.spoke_folders() {
            sum = sum.and(&self.cast.inventory(&data).await?);
        }
        Ok(sum)
    }
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
