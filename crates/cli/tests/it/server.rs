//! A server that answers as a test has written down, and remembers what it was asked.
//!
//! It is strict: a question that the script does not foresee is an internal error.

use mosaic_common::proto::agent::v1::{
    self as pb, agent_service_server::AgentService, agent_service_server::AgentServiceServer,
};
use mosaic_common::proto::federation::v1::{
    self as fed, operator_service_server::OperatorService,
    operator_service_server::OperatorServiceServer,
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::{
    Stream,
    wrappers::{TcpListenerStream, UnixListenerStream},
};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

/// Answers to one kind of question, in order.
#[derive(Debug)]
pub(crate) struct Part<Q, A> {
    answers: Mutex<VecDeque<Result<A, Status>>>,
    asked: Mutex<Vec<Q>>,
}

/// What a stream sends before it ends; an error breaks it.
pub(crate) type Items<T> = Vec<Result<T, Status>>;

impl<Q, A> Default for Part<Q, A> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
            asked: Mutex::default(),
        }
    }
}

impl<Q: Clone, A> Part<Q, A> {
    /// The next answer.
    pub(crate) fn answer(&self, answer: Result<A, Status>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// What was asked until now.
    pub(crate) fn asked(&self) -> Vec<Q> {
        self.asked.lock().unwrap().clone()
    }

    fn take(&self, question: Request<Q>) -> Result<Response<A>, Status> {
        self.asked.lock().unwrap().push(question.into_inner());
        let next = self.answers.lock().unwrap().pop_front();
        // Not one of the codes that are tried again: the test shall see it.
        let unforeseen = || Err(Status::data_loss("the script does not foresee this"));
        next.unwrap_or_else(unforeseen).map(Response::new)
    }
}

/// The script of both services.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub spawn: Part<pb::SpawnRequest, pb::SpawnResponse>,
    pub get: Part<pb::GetRequest, pb::GetResponse>,
    pub list: Part<pb::ListRequest, pb::ListResponse>,
    pub kill: Part<pb::KillRequest, pb::KillResponse>,
    pub kill_all: Part<pb::KillAllRequest, pb::KillAllResponse>,
    pub release: Part<pb::ReleaseRequest, pb::ReleaseResponse>,
    pub watch: Part<pb::WatchRequest, Items<pb::WatchResponse>>,
    pub logs: Part<pb::LogsRequest, Items<pb::LogsResponse>>,
    pub result: Part<pb::ResultRequest, Items<pb::ResultResponse>>,
    pub connections: Part<fed::ListConnectionsRequest, fed::ListConnectionsResponse>,
    pub commands: Part<fed::ListCommandsRequest, fed::ListCommandsResponse>,
    /// The `authorization` headers of every Get.
    pub tokens: Mutex<Vec<Option<String>>>,
}

#[derive(Clone)]
struct Scripted(Arc<Script>);

type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn stream<T: Send + 'static>(items: Response<Items<T>>) -> Response<Answer<T>> {
    Response::new(Box::pin(tokio_stream::iter(items.into_inner())))
}

#[tonic::async_trait]
impl AgentService for Scripted {
    type WatchStream = Answer<pb::WatchResponse>;
    type LogsStream = Answer<pb::LogsResponse>;
    type ResultStream = Answer<pb::ResultResponse>;

    async fn spawn(
        &self,
        request: Request<pb::SpawnRequest>,
    ) -> Result<Response<pb::SpawnResponse>, Status> {
        self.0.spawn.take(request)
    }

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        self.0.tokens.lock().unwrap().push(token);
        self.0.get.take(request)
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        self.0.list.take(request)
    }

    async fn kill(
        &self,
        request: Request<pb::KillRequest>,
    ) -> Result<Response<pb::KillResponse>, Status> {
        self.0.kill.take(request)
    }

    async fn kill_all(
        &self,
        request: Request<pb::KillAllRequest>,
    ) -> Result<Response<pb::KillAllResponse>, Status> {
        self.0.kill_all.take(request)
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        self.0.release.take(request)
    }

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.0.watch.take(request).map(stream)
    }

    async fn logs(
        &self,
        request: Request<pb::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        self.0.logs.take(request).map(stream)
    }

    async fn result(
        &self,
        request: Request<pb::ResultRequest>,
    ) -> Result<Response<Self::ResultStream>, Status> {
        self.0.result.take(request).map(stream)
    }
}

#[tonic::async_trait]
impl OperatorService for Scripted {
    async fn list_connections(
        &self,
        request: Request<fed::ListConnectionsRequest>,
    ) -> Result<Response<fed::ListConnectionsResponse>, Status> {
        self.0.connections.take(request)
    }

    async fn list_commands(
        &self,
        request: Request<fed::ListCommandsRequest>,
    ) -> Result<Response<fed::ListCommandsResponse>, Status> {
        self.0.commands.take(request)
    }
}

/// Starts a server on loopback; it lives as long as the test's runtime.
pub(crate) async fn start() -> (String, Arc<Script>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let script = Arc::new(Script::default());
    let serving = services(&script).serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (endpoint, script)
}

/// Starts a server on a local socket.
pub(crate) fn start_local(socket: &std::path::Path) -> Arc<Script> {
    let listener = UnixListener::bind(socket).unwrap();
    let script = Arc::new(Script::default());
    let serving = services(&script).serve_with_incoming(UnixListenerStream::new(listener));
    tokio::spawn(serving);
    script
}

/// Starts a server with TLS on loopback, and returns its certificate too, PEM.
pub(crate) async fn start_tls() -> (String, String, Arc<Script>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, key));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let script = Arc::new(Script::default());
    let serving = Server::builder()
        .tls_config(tls)
        .unwrap()
        .add_service(AgentServiceServer::new(Scripted(script.clone())))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    (endpoint, certificate, script)
}

fn services(script: &Arc<Script>) -> tonic::transport::server::Router {
    let scripted = Scripted(script.clone());
    Server::builder()
        .add_service(AgentServiceServer::new(scripted.clone()))
        .add_service(OperatorServiceServer::new(scripted))
}

/// The id of the agent that scripts speak of.
pub(crate) const AGENT: &str = "ag_abcdefghijklmnopqrstuvwxyz";

/// That agent in a state; with a cleanup report where the state is final.
pub(crate) fn agent(state: pb::AgentState) -> pb::Agent {
    let is_final = state as i32 >= pb::AgentState::Completed as i32;
    pb::Agent {
        agent_id: AGENT.into(),
        task_id: "task-1".into(),
        site: "lab".into(),
        state: state.into(),
        cleanup: is_final.then(pb::CleanupReport::default),
        ..Default::default()
    }
}

/// An event of that agent.
pub(crate) fn event(
    sequence: u64,
    r#type: &str,
    state: pb::AgentState,
) -> Result<pb::WatchResponse, Status> {
    let event = pb::Event {
        sequence,
        r#type: r#type.into(),
        site: "lab".into(),
        agent_id: AGENT.into(),
        task_id: "task-1".into(),
        state: state.into(),
        ..Default::default()
    };
    Ok(pb::WatchResponse {
        item: Some(pb::watch_response::Item::Event(event)),
    })
}

/// What Get says of that agent.
pub(crate) fn got(state: pb::AgentState) -> Result<pb::GetResponse, Status> {
    let agent = Some(agent(state));
    Ok(pb::GetResponse { agent })
}
