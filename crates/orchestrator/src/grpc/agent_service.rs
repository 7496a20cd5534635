//! `AgentService` for the local operator.

use super::{Caller, Requests};
use crate::local_audit::{Asked, LocalAudit};
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use mosaic_common::agent::wire::parse_command_id;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_server::AgentService;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{CommandId, Reason, Refusal};
use mosaic_federation::kind;
use std::future::Future;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};

/// `AgentService` for whoever reaches the local socket.
#[derive(Debug, Clone)]
pub struct LocalAgents {
    requests: Requests,
    audit: LocalAudit,
    stop: CancellationToken,
}

impl LocalAgents {
    /// Over the spoke's requests. Streams end when `stop` is cancelled.
    #[must_use]
    pub fn new(requests: Requests, audit: LocalAudit, stop: CancellationToken) -> Self {
        Self {
            requests,
            audit,
            stop,
        }
    }

    /// Records a request, carries it out in its own span, and records what became of it.
    async fn recorded<T>(
        &self,
        caller: &Caller,
        asked: Asked<'_>,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<Response<T>, Status> {
        let span = info_span!(
            "command",
            command.id = %asked.id,
            command.kind = kind::name(asked.kind),
            agent.id = asked.agent,
            client = caller.name(),
        );
        let done = async {
            let record = self.audit.begin(caller, &asked).await?;
            let done = work.await;
            self.audit.finish(record, done.as_ref().err()).await;
            done
        };
        Ok(Response::new(done.instrument(span).await?))
    }
}

/// Who is at the other end of the socket. The listener has let in only our own operator.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let peer = request
        .extensions()
        .get::<UdsConnectInfo>()
        .and_then(|info| info.peer_cred);
    let unknown = || Refusal::new(Reason::Internal, "the peer of the socket is not known");
    Ok(Caller::Local {
        uid: peer.ok_or_else(unknown)?.uid(),
    })
}

/// A stream that also ends when the spoke stops.
fn until<T: Send + 'static>(
    stop: &CancellationToken,
    answers: impl Stream<Item = Result<T, Refusal>> + Send + 'static,
) -> BoxStream<'static, Result<T, Status>> {
    let stopping = || {
        Refusal::new(
            Reason::SpokeDraining,
            "the spoke is shutting down; resume at the last cursor",
        )
    };
    let token = stop.clone();
    let last = stream::once(async move { token.is_cancelled().then(stopping) });
    answers
        .take_until(stop.clone().cancelled_owned())
        .chain(last.filter_map(|refusal| async { refusal.map(Err) }))
        .map(|answer| answer.map_err(Status::from))
        .boxed()
}

#[tonic::async_trait]
impl AgentService for LocalAgents {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;
    type LogsStream = BoxStream<'static, Result<pb::LogsResponse, Status>>;
    type ResultStream = BoxStream<'static, Result<pb::ResultResponse, Status>>;

    async fn spawn(
        &self,
        request: Request<pb::SpawnRequest>,
    ) -> Result<Response<pb::SpawnResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let id = parse_command_id(&request.command_id)?;
        let agent = request
            .spec
            .as_ref()
            .map(|spec| spec.agent_id.clone())
            .unwrap_or_default();
        let asked = Asked {
            id,
            kind: CommandKind::Spawn,
            agent: &agent,
        };
        self.recorded(&caller, asked, self.requests.spawn(&caller, id, request))
            .await
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let agent = request.agent_id.clone();
        let asked = Asked {
            id: CommandId::random(),
            kind: CommandKind::Status,
            agent: &agent,
        };
        self.recorded(&caller, asked, self.requests.get(&caller, request))
            .await
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let asked = Asked {
            id: CommandId::random(),
            kind: CommandKind::List,
            agent: "",
        };
        self.recorded(&caller, asked, self.requests.list(&caller, request))
            .await
    }

    async fn kill(
        &self,
        request: Request<pb::KillRequest>,
    ) -> Result<Response<pb::KillResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let agent = request.agent_id.clone();
        let id = parse_command_id(&request.command_id)?;
        let asked = Asked {
            id,
            kind: CommandKind::Kill,
            agent: &agent,
        };
        self.recorded(&caller, asked, self.requests.kill(&caller, id, request))
            .await
    }

    async fn kill_all(
        &self,
        request: Request<pb::KillAllRequest>,
    ) -> Result<Response<pb::KillAllResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let id = parse_command_id(&request.command_id)?;
        let asked = Asked {
            id,
            kind: CommandKind::KillAll,
            agent: "",
        };
        self.recorded(&caller, asked, self.requests.kill_all(&caller, id, request))
            .await
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let id = parse_command_id(&request.command_id)?;
        let asked = Asked {
            id,
            kind: CommandKind::Release,
            agent: "",
        };
        self.recorded(&caller, asked, self.requests.release(&caller, id, request))
            .await
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let agent = request.agent_id.clone();
        let asked = Asked {
            id: CommandId::random(),
            kind: CommandKind::Watch,
            agent: &agent,
        };
        let answers = self
            .recorded(&caller, asked, self.requests.watch(&caller, request))
            .await?;
        Ok(answers.map(|answers| until(&self.stop, answers)))
    }

    async fn logs(
        &self,
        request: Request<pb::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let agent = request.agent_id.clone();
        let asked = Asked {
            id: CommandId::random(),
            kind: CommandKind::Logs,
            agent: &agent,
        };
        let answers = self
            .recorded(&caller, asked, self.requests.logs(&caller, request))
            .await?;
        Ok(answers.map(|answers| until(&self.stop, answers)))
    }

    async fn result(
        &self,
        request: Request<pb::ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        let (caller, request) = (caller(&request)?, request.into_inner());
        let agent = request.agent_id.clone();
        let asked = Asked {
            id: CommandId::random(),
            kind: CommandKind::Result,
            agent: &agent,
        };
        let answers = self
            .recorded(&caller, asked, self.requests.result(&caller, request))
            .await?;
        Ok(answers.map(|answers| until(&self.stop, answers)))
    }
}
