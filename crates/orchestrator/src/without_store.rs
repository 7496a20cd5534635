//! What a spoke can still do while its store cannot be used: say so, tell what runs here, and kill it.
//!
//! What runs is read from the sandboxes alone. Nothing is started, and nothing but what is killed on
//! command is removed: no worktree, no work. Hubs are not listened to, since a command that cannot be
//! remembered might be carried out twice; the local operator is. As soon as the store can be used,
//! the spoke starts as ever, and finds what was done here.

use crate::config::Config;
use crate::grpc::parse_grace;
use crate::listener::LocalListener;
use crate::sandbox::{Removed, Sandbox};
use crate::sandboxes::Sandboxes;
use crate::{adapters, serve};
use futures_util::future::join_all;
use mosaic_common::agent::wire::parse_agent_id;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_server::AgentService;
use mosaic_common::{AgentId, Alias, Reason, Refusal, in_full};
use mosaic_store::{EmbeddedStore, Error};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How often the store is tried.
const TRY: Duration = Duration::from_secs(2);

/// Tells the local operator about what runs and kills it, until the store can be opened. Returns
/// whether a kill-all was asked for, which holds for the spoke that starts then.
///
/// # Errors
/// If the local operator cannot be served either.
pub(crate) async fn keep(config: &Config, owner: &Alias, why: &Error) -> std::io::Result<bool> {
    let why = in_full(why);
    tracing::error!(
        why,
        "the store cannot be used: only what runs is told and killed, nothing is cleaned up"
    );
    let folders = adapters::folders(config);
    let service = WithoutStore {
        site: config.name.clone(),
        sandboxes: adapters::sandboxes(config, &folders, owner).await,
        why: why.into(),
        killed_all: Arc::default(),
    };
    let killed_all = service.killed_all.clone();
    let listener = LocalListener::bind(&config.socket_path()).await?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve::without_store(listener, service, stop.clone()));
    until_it_opens(&folders.store()).await;
    tracing::info!("the store can be used again");
    stop.cancel();
    drop(serving.await);
    Ok(killed_all.load(Ordering::SeqCst))
}

async fn until_it_opens(store: &Path) {
    loop {
        tokio::time::sleep(TRY).await;
        if EmbeddedStore::open(store).is_ok() {
            return;
        }
    }
}

/// `AgentService` without a memory.
#[derive(Debug, Clone)]
pub(crate) struct WithoutStore {
    site: Alias,
    sandboxes: Sandboxes,
    why: Arc<str>,
    /// Whether a kill-all was asked for.
    killed_all: Arc<AtomicBool>,
}

impl WithoutStore {
    fn unavailable(&self) -> Refusal {
        let what = format!("only status and kill work now: {}", self.why);
        Refusal::new(Reason::StoreUnavailable, what).retry_after(TRY)
    }

    /// Every agent in a sandbox here.
    async fn all(&self) -> Result<Vec<(AgentId, Arc<dyn Sandbox>)>, Refusal> {
        let mut all = Vec::new();
        for sandbox in self.sandboxes.usable() {
            let agents = sandbox.list().await;
            let agents = agents.map_err(|error| {
                let what = format!("{} cannot be listed: {}", sandbox.name(), in_full(&error));
                Refusal::new(Reason::Internal, what)
            })?;
            all.extend(agents.into_iter().map(|agent| (agent, sandbox.clone())));
        }
        Ok(all)
    }

    /// The sandbox of one agent.
    async fn one(&self, agent: &AgentId) -> Result<Arc<dyn Sandbox>, Refusal> {
        let all = self.all().await?;
        let found = all.into_iter().find(|(there, _)| there == agent);
        found
            .map(|(_, sandbox)| sandbox)
            .ok_or_else(|| self.unavailable())
    }

    /// All that is known of an agent: whether its program runs.
    async fn tell(&self, agent: &AgentId, sandbox: &dyn Sandbox) -> pb::Agent {
        let ended = tokio::time::timeout(Duration::from_millis(50), sandbox.wait(agent)).await;
        let state = match ended {
            Err(_) => pb::AgentState::Running,
            Ok(_) => pb::AgentState::Stopping, // it has ended, and will be cleaned up
        };
        pb::Agent {
            agent_id: agent.to_string(),
            site: self.site.to_string(),
            state: state.into(),
            sandbox: sandbox.name().to_string(),
            ..pb::Agent::default()
        }
    }

    async fn end(
        &self,
        agent: &AgentId,
        sandbox: &dyn Sandbox,
        grace: Duration,
    ) -> (pb::KillOutcome, String) {
        match sandbox.remove(agent, grace).await {
            Ok(Removed::Dead(proof)) => {
                let detail = format!("{proof}; its record will say that it is lost");
                (pb::KillOutcome::Killed, detail)
            }
            Ok(Removed::Missing) => (pb::KillOutcome::AlreadyEnded, String::new()),
            Err(error) => (pb::KillOutcome::NotProved, in_full(&error)),
        }
    }
}

#[tonic::async_trait]
impl AgentService for WithoutStore {
    type WatchStream = Empty<Result<pb::WatchResponse, Status>>;
    type LogsStream = Empty<Result<pb::LogsResponse, Status>>;
    type ResultStream = Empty<Result<pb::ResultResponse, Status>>;

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let agent = parse_agent_id(&request.into_inner().agent_id)?;
        let sandbox = self.one(&agent).await?;
        let agent = Some(self.tell(&agent, sandbox.as_ref()).await);
        Ok(Response::new(pb::GetResponse { agent }))
    }

    async fn list(
        &self,
        _: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let all = self.all().await?;
        let told = all
            .iter()
            .map(|(agent, sandbox)| self.tell(agent, sandbox.as_ref()));
        Ok(Response::new(pb::ListResponse {
            agents: join_all(told).await,
            ..pb::ListResponse::default()
        }))
    }

    async fn kill(
        &self,
        request: Request<pb::KillRequest>,
    ) -> Result<Response<pb::KillResponse>, Status> {
        let request = request.into_inner();
        let agent = parse_agent_id(&request.agent_id)?;
        let grace = request.grace.map_or(Ok(Duration::ZERO), parse_grace)?;
        let sandbox = self.one(&agent).await?;
        let (outcome, detail) = self.end(&agent, sandbox.as_ref(), grace).await;
        Ok(Response::new(pb::KillResponse {
            outcome: outcome.into(),
            agent: None,
            detail,
        }))
    }

    async fn kill_all(
        &self,
        _: Request<pb::KillAllRequest>,
    ) -> Result<Response<pb::KillAllResponse>, Status> {
        self.killed_all.store(true, Ordering::SeqCst);
        let all = self.all().await?;
        let ends = all.iter().map(async |(agent, sandbox)| {
            let (outcome, detail) = self.end(agent, sandbox.as_ref(), Duration::ZERO).await;
            pb::KillAllResult {
                site: self.site.to_string(),
                agent_id: agent.to_string(),
                outcome: outcome.into(),
                detail,
            }
        });
        Ok(Response::new(pb::KillAllResponse {
            results: join_all(ends).await,
            unreachable: Vec::new(),
            latched_in_memory: vec![self.site.to_string()],
        }))
    }

    async fn spawn(
        &self,
        _: Request<pb::SpawnRequest>,
    ) -> Result<Response<pb::SpawnResponse>, Status> {
        Err(self.unavailable().into())
    }

    async fn release(
        &self,
        _: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        Err(self.unavailable().into())
    }

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(self.unavailable().into())
    }

    async fn logs(
        &self,
        _: Request<pb::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        Err(self.unavailable().into())
    }

    async fn result(
        &self,
        _: Request<pb::ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        Err(self.unavailable().into())
    }
}
