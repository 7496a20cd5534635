//! Agents as a client has them: spawned, watched until they run, killed.

use crate::role::PATIENCE;
use crate::site::{Client, SITE};
use anyhow::Context;
use mosaic_common::proto::agent::v1::{
    AgentSpec, AgentState, CleanupOutcome, KillOutcome, KillRequest, KillResponse, SpawnRequest,
    WatchRequest, WatchResponse, watch_response::Item,
};
use mosaic_common::{AgentId, CommandId};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Streaming;

/// A program that says that it runs, by a file, and then does nothing.
pub(crate) const IDLE: &str = ": > ready; exec sleep 3600";

/// How often it is looked whether that file is there: both sides pay half of it on average.
const LOOK: Duration = Duration::from_micros(100);

/// Spawns an agent and returns its id. Empty `repository`: none.
pub(crate) async fn spawn(
    client: &mut Client,
    task: &str,
    repository: &str,
) -> anyhow::Result<String> {
    let id = AgentId::of_command(CommandId::random()).to_string();
    spawn_as(client, &id, task, repository).await?;
    Ok(id)
}

/// Spawns an agent under this id.
pub(crate) async fn spawn_as(
    client: &mut Client,
    id: &str,
    task: &str,
    repository: &str,
) -> anyhow::Result<()> {
    let request = SpawnRequest {
        site: SITE.to_owned(),
        command_id: CommandId::random().to_string(),
        spec: Some(AgentSpec {
            agent_id: id.to_owned(),
            task: task.to_owned(),
            repository: repository.to_owned(),
            ..AgentSpec::default()
        }),
    };
    client.spawn(request).await?;
    Ok(())
}

/// Every event of the site, as it comes.
pub(crate) struct Events(Streaming<WatchResponse>);

impl Events {
    /// From now on, and what was before.
    pub(crate) async fn of(client: &mut Client) -> anyhow::Result<Self> {
        let request = WatchRequest {
            site: SITE.to_owned(),
            ..WatchRequest::default()
        };
        Ok(Self(client.watch(request).await?.into_inner()))
    }

    /// Waits until an agent has been told to run.
    pub(crate) async fn until_running(&mut self, agent: &str) -> anyhow::Result<()> {
        let told = async {
            loop {
                let next = self.0.message().await?.context("the events ended")?;
                let Some(Item::Event(event)) = next.item else {
                    continue;
                };
                if event.agent_id != agent {
                    continue;
                }
                match event.state() {
                    AgentState::Running => return Ok(()),
                    AgentState::Queued | AgentState::Spawning => {}
                    other => {
                        anyhow::bail!("the agent is {}: {:?}", other.as_str_name(), event.cause)
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, told)
            .await
            .context("the agent does not run")?
    }
}

/// Waits until a program has done its first act.
pub(crate) async fn until_ready(workdir: &Path) -> anyhow::Result<()> {
    let (ready, deadline) = (workdir.join("ready"), Instant::now() + PATIENCE);
    while !ready.exists() {
        anyhow::ensure!(Instant::now() < deadline, "the program does not run");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Kills an agent at once; fails unless it was running and was proved dead and cleaned up.
pub(crate) async fn kill(client: &mut Client, agent: &str) -> anyhow::Result<()> {
    let request = KillRequest {
        site: SITE.to_owned(),
        command_id: CommandId::random().to_string(),
        agent_id: agent.to_owned(),
        grace: Some(prost_types::Duration::default()),
        reason: "bench".to_owned(),
    };
    proved(&client.kill(request).await?.into_inner())
}

fn proved(answer: &KillResponse) -> anyhow::Result<()> {
    anyhow::ensure!(
        answer.outcome() == KillOutcome::Killed,
        "not killed: {answer:?}"
    );
    let agent = answer.agent.as_ref().context("no agent in the answer")?;
    let report = agent.cleanup.as_ref().context("no report in the answer")?;
    let sandbox = report.sandbox.as_ref().context("nothing of the sandbox")?;
    anyhow::ensure!(
        sandbox.outcome() == CleanupOutcome::Done,
        "not proved: {report:?}"
    );
    Ok(())
}
