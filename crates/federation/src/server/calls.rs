//! The two calls of `CommandService`, step by step.

mod conclude;

use super::lane::{Lane, Lanes};
use super::{Spoke, frames};
use crate::connection::{Connections, HubPeer};
use crate::execute::{Answer, Execute};
use crate::kind;
use crate::ledger::Ledger;
use crate::listener::PeerInfo;
use crate::receipt::Receipts;
use crate::record::{CommandRecord, Records};
use crate::verify::{Call, Proven, Rejection, Verdict, Verifier};
use conclude::fitting;
use futures_util::stream::BoxStream;
use mosaic_common::failpoint;
use mosaic_common::proto::federation::v1::command_service_server::CommandService;
use mosaic_common::proto::federation::v1::{
    CommandKind, Envelope, ExecuteRequest, ExecuteResponse, OpenRequest, OpenResponse,
};
use mosaic_common::{AgentId, Clock, Reason, Refusal};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Extensions, Request, Response, Status};
use tracing::{Instrument, Span, error, field, info, warn};

/// Records of reads that may wait to be written: as many as the store takes in one go. Beyond that
/// an answer waits, so that a slow disk is not outrun.
const UNWRITTEN: usize = 256;

/// Serves the calls. Clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    connections: Arc<Connections<HubPeer>>,
    tasks: TaskTracker,
    unwritten: Arc<Semaphore>,
    lanes: Lanes,
    verifier: Verifier,
    ledger: Arc<Ledger>,
    receipts: Receipts,
    records: Records,
    clock: Arc<dyn Clock>,
    execute: Arc<dyn Execute>,
}

/// A command with a proven sender, and the place it holds.
struct Received {
    command: Proven,
    lane: Arc<Lane>,
    place: OwnedSemaphorePermit,
    span: Span,
}

impl Calls {
    pub(super) fn new(spoke: Spoke) -> Self {
        let id = spoke.identity.id().clone();
        let (clock, ledger) = (spoke.clock, spoke.ledger);
        let key = spoke.identity.signing().clone();
        let tasks = TaskTracker::new();
        Self {
            shared: Arc::new(Shared {
                connections: spoke.connections,
                tasks: tasks.clone(),
                unwritten: Arc::new(Semaphore::new(UNWRITTEN)),
                lanes: Lanes::default(),
                verifier: Verifier::new(id.clone(), spoke.site, clock.clone(), ledger.clone()),
                ledger,
                receipts: Receipts::new(id, key, clock.clone(), spoke.store.clone()),
                records: Records::new(spoke.store, clock.clone()),
                clock,
                execute: spoke.execute,
            }),
            tasks,
            shutdown: CancellationToken::new(),
        }
    }

    /// Binds the streams to `shutdown`; gives what tracks the commands being executed.
    pub(super) fn begin(&mut self, shutdown: &CancellationToken) -> TaskTracker {
        self.shutdown = shutdown.clone();
        self.tasks.clone()
    }

    /// Steps 1 to 7.
    fn receive(
        &self,
        extensions: &Extensions,
        call: Call,
        envelope: Option<Envelope>,
    ) -> Result<Received, Refusal> {
        let peer = extensions.get::<PeerInfo>();
        let live = peer.and_then(|peer| self.shared.connections.by_tls_key(&peer.tls_key));
        let live = live.filter(|live| live.peer().state.is_usable());
        let live = live.ok_or_else(|| reject("", Rejection::NotUsable))?;
        let connection = &live.peer().id.clone();
        let lane = self.shared.lanes.of(connection);
        lane.count(live.peer().grant.commands_per_minute)?;
        let place = match call {
            Call::Execute => lane.call()?,
            Call::Open => lane.stream()?,
        };
        let envelope = envelope.ok_or(Rejection::Envelope);
        let command = envelope
            .and_then(|envelope| self.shared.verifier.prove(live, call, &envelope))
            .map_err(|why| reject(connection.as_str(), why))?;
        let span = tracing::info_span!(
            "command",
            command.id = %command.id,
            command.kind = kind::name(command.kind),
            connection.id = %connection,
            agent.id = field::Empty,
        );
        Ok(Received {
            command,
            lane,
            place,
            span,
        })
    }
}

/// The reason goes to the log; the sender hears the same for every one.
fn reject(connection: &str, why: Rejection) -> Refusal {
    warn!(connection.id = connection, reason = %why, "rejected a command");
    why.into()
}

#[tonic::async_trait]
impl CommandService for Calls {
    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<ExecuteResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let received = self.receive(&extensions, Call::Execute, message.envelope)?;
        let (shared, span) = (self.shared.clone(), received.span.clone());
        // In a task of its own: a hub that hangs up does not stop what it asked for half-way.
        let task = self.tasks.spawn(
            async move {
                let receipt = shared.carry_out(&received).await;
                drop(received.place);
                receipt
            }
            .instrument(span),
        );
        let receipt = task.await.map_err(|error| {
            error!(%error, "a command's task ended early");
            Refusal::new(Reason::Internal, "the command's execution broke off")
        })??;
        Ok(Response::new(ExecuteResponse {
            receipt: Some(receipt),
        }))
    }

    type OpenStream = BoxStream<'static, Result<OpenResponse, Status>>;

    async fn open(
        &self,
        request: Request<OpenRequest>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (_, extensions, message) = request.into_parts();
        let received = self.receive(&extensions, Call::Open, message.envelope)?;
        let span = received.span.clone();
        let open = async {
            let (receipt, items) = self.shared.open(&received.command).await?;
            let active = received.command.connection.while_active().clone();
            let end = frames::End {
                shutdown: self.shutdown.clone(),
                active,
                place: received.place,
            };
            Ok::<_, Refusal>(frames::stream(receipt, items, end))
        };
        Ok(Response::new(open.instrument(span).await?))
    }
}

impl Shared {
    /// Steps 8 to 12 of a command with one answer.
    async fn carry_out(&self, received: &Received) -> Result<Envelope, Refusal> {
        let proven = &received.command;
        let is_spawn = proven.kind == CommandKind::Spawn;
        let _spawning = match is_spawn.then(|| received.lane.spawn()).transpose() {
            Ok(place) => place,
            Err(refusal) => return self.refuse(proven, refusal).await,
        };
        match self.verifier.verify(proven, &*self.execute).await {
            Verdict::Refused(refusal) => self.refuse(proven, refusal).await,
            Verdict::Repeat(receipt) => {
                info!("answered a repeated command");
                Ok(receipt)
            }
            Verdict::Execute(command, claim) => {
                note_agent(command.agent());
                failpoint!("command.claimed");
                let result = self.execute.execute(&command).await.and_then(fitting);
                failpoint!("command.executed");
                self.conclude(&command, claim, result).await
            }
        }
    }

    /// Steps 8 to 11 of a command that opens a stream.
    async fn open(&self, proven: &Proven) -> Result<(Envelope, frames::Items), Refusal> {
        let command = match self.verifier.verify(proven, &*self.execute).await {
            Verdict::Refused(refusal) => {
                return Ok((self.refuse(proven, refusal).await?, frames::none()));
            }
            // Streams are never answered from memory; a receipt alone would be half an answer.
            Verdict::Repeat(receipt) => return Ok((receipt, frames::none())),
            Verdict::Execute(command, _claim) => command,
        };
        note_agent(command.agent());
        let now = self.clock.now();
        let record = CommandRecord::of_command(&command, now);
        let (answer, items, record) = match self.execute.open(&command).await {
            Ok(items) => (Ok(Answer::default()), items, record.delivered(now)),
            Err(refusal) => {
                let record = record.refused(&refusal, now);
                (Err(refusal), frames::none(), record)
            }
        };
        let receipt = self.sign(proven, command.agent(), &answer).await?;
        self.note_read(record).await;
        Ok((receipt, items))
    }
}

fn note_agent(agent: Option<&AgentId>) {
    if let Some(agent) = agent {
        Span::current().record("agent.id", field::display(agent));
    }
}
