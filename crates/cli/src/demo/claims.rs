//! The demo's client: what a user's program would do over gRPC, with a bound on every wait.

use anyhow::{Context, Result, anyhow, bail};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_common::{CommandId, Refusal};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A client of the hub.
pub(super) struct Hub {
    client: AgentServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

/// An agent that was accepted.
pub(super) struct Spawned {
    pub(super) agent_id: String,
    pub(super) site: String,
    pub(super) task: String,
    pub(super) command_id: String,
}

/// What an agent left.
pub(super) struct Work {
    pub(super) summary: pb::ResultSummary,
    pub(super) patch: String,
}

impl Hub {
    /// Connects, once the hub answers.
    pub(super) async fn connect(endpoint: &str, token: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(endpoint.to_owned())?
            .connect()
            .await
            .context("cannot reach the hub")?;
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        bearer.set_sensitive(true);
        Ok(Self {
            client: AgentServiceClient::new(channel),
            bearer,
        })
    }

    pub(super) async fn spawn(&self, site: &str, task: &str, script: &str) -> Result<Spawned> {
        let command_id = CommandId::random().to_string();
        self.spawn_as(site, task, script, command_id).await
    }

    /// Sends the command of a spawn once more.
    pub(super) async fn spawn_again(&self, first: &Spawned, script: &str) -> Result<Spawned> {
        self.spawn_as(&first.site, &first.task, script, first.command_id.clone())
            .await
    }

    async fn spawn_as(
        &self,
        site: &str,
        task: &str,
        script: &str,
        command_id: String,
    ) -> Result<Spawned> {
        let spec = pb::AgentSpec {
            task_id: task.to_owned(),
            repository: "demo".to_owned(),
            profile: "command".to_owned(),
            task: script.to_owned(),
            ..Default::default()
        };
        let request = pb::SpawnRequest {
            site: site.to_owned(),
            command_id: command_id.clone(),
            spec: Some(spec),
        };
        let answer = self
            .client
            .clone()
            .spawn(self.signed_in(request))
            .await
            .map_err(explained)?;
        let agent = answer
            .into_inner()
            .agent
            .context("spawn answered without an agent")?;
        Ok(Spawned {
            agent_id: agent.agent_id,
            site: site.to_owned(),
            task: task.to_owned(),
            command_id,
        })
    }

    pub(super) async fn get(&self, agent: &Spawned) -> Result<pb::Agent> {
        let request = pb::GetRequest {
            agent_id: agent.agent_id.clone(),
            ..Default::default()
        };
        let answer = self
            .client
            .clone()
            .get(self.signed_in(request))
            .await
            .map_err(explained)?;
        answer
            .into_inner()
            .agent
            .context("get answered without an agent")
    }

    /// Waits until an agent is as wanted.
    pub(super) async fn until(
        &self,
        agent: &Spawned,
        wanted: impl Fn(&pb::Agent) -> bool,
    ) -> Result<pb::Agent> {
        let look = async {
            loop {
                let now = self.get(agent).await?;
                if wanted(&now) {
                    return Ok(now);
                }
                if now.cleanup.is_some() {
                    bail!("{} ended: {:?}", agent.task, now.cause);
                }
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, look)
            .await
            .with_context(|| format!("waited too long for {}", agent.task))?
    }

    /// Follows an agent's output until it holds some text.
    pub(super) async fn until_it_says(&self, agent: &Spawned, text: &str) -> Result<()> {
        let request = pb::LogsRequest {
            agent_id: agent.agent_id.clone(),
            follow: true,
            ..Default::default()
        };
        let mut stream = self
            .client
            .clone()
            .logs(self.signed_in(request))
            .await
            .map_err(explained)?
            .into_inner();
        let mut seen = String::new();
        let read = async {
            while let Some(chunk) = stream.message().await.map_err(explained)? {
                seen.push_str(&String::from_utf8_lossy(&chunk.data));
                if seen.contains(text) {
                    return Ok(());
                }
            }
            bail!("{} ended before it said {text:?}", agent.task)
        };
        timeout(PATIENCE, read)
            .await
            .with_context(|| format!("{} does not say {text:?}", agent.task))?
    }

    pub(super) async fn output(&self, agent: &Spawned) -> Result<String> {
        let request = pb::LogsRequest {
            agent_id: agent.agent_id.clone(),
            ..Default::default()
        };
        let mut stream = self
            .client
            .clone()
            .logs(self.signed_in(request))
            .await
            .map_err(explained)?
            .into_inner();
        let mut output = Vec::new();
        while let Some(chunk) = stream.message().await.map_err(explained)? {
            output.extend_from_slice(&chunk.data);
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    pub(super) async fn result(&self, agent: &Spawned) -> Result<Work> {
        let format = pb::ResultFormat::Patch.into();
        let request = pb::ResultRequest {
            agent_id: agent.agent_id.clone(),
            format,
            ..Default::default()
        };
        let mut stream = self
            .client
            .clone()
            .result(self.signed_in(request))
            .await
            .map_err(explained)?
            .into_inner();
        let (mut summary, mut patch) = (None, Vec::new());
        while let Some(answer) = stream.message().await.map_err(explained)? {
            match answer.item {
                Some(pb::result_response::Item::Summary(first)) => summary = Some(first),
                Some(pb::result_response::Item::Patch(piece)) => patch.extend_from_slice(&piece),
                Some(pb::result_response::Item::Commit(_))
                | Some(pb::result_response::Item::Bundle(_))
                | None => {}
            }
        }
        let summary = summary.context("result came without a summary")?;
        Ok(Work {
            summary,
            patch: String::from_utf8_lossy(&patch).into_owned(),
        })
    }

    pub(super) async fn kill(&self, agent: &Spawned) -> Result<pb::KillResponse> {
        let reason = "the demo is over for you".to_owned();
        let grace = Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        });
        let request = pb::KillRequest {
            agent_id: agent.agent_id.clone(),
            reason,
            grace,
            ..Default::default()
        };
        Ok(self
            .client
            .clone()
            .kill(self.signed_in(request))
            .await
            .map_err(explained)?
            .into_inner())
    }

    pub(super) async fn kill_all(&self) -> Result<pb::KillAllResponse> {
        let request = self.signed_in(pb::KillAllRequest::default());
        Ok(self
            .client
            .clone()
            .kill_all(request)
            .await
            .map_err(explained)?
            .into_inner())
    }

    pub(super) async fn release(&self) -> Result<()> {
        self.client
            .clone()
            .release(self.signed_in(pb::ReleaseRequest::default()))
            .await
            .map_err(explained)?;
        Ok(())
    }

    /// Every event of a site so far.
    pub(super) async fn events(&self, site: &str) -> Result<Vec<pb::Event>> {
        let request = pb::WatchRequest {
            site: site.to_owned(),
            no_follow: true,
            ..Default::default()
        };
        let mut stream = self
            .client
            .clone()
            .watch(self.signed_in(request))
            .await
            .map_err(explained)?
            .into_inner();
        let mut events = Vec::new();
        while let Some(answer) = stream.message().await.map_err(explained)? {
            match answer.item {
                Some(pb::watch_response::Item::Event(event)) => events.push(event),
                Some(pb::watch_response::Item::Gap(gap)) => bail!("{site} has lost events {gap:?}"),
                None => {}
            }
        }
        Ok(events)
    }

    fn signed_in<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        request
    }
}

/// A status as a sentence.
fn explained(status: Status) -> anyhow::Error {
    match Refusal::from_status(&status) {
        Some(refusal) => anyhow!("{refusal}"),
        None if status.code() == Code::Unavailable => {
            anyhow!("the hub is gone: {}", status.message())
        }
        None => anyhow!("{:?}: {}", status.code(), status.message()),
    }
}
