//! Hubs and spokes for the tests, joined over the loopback interface.

mod party;
mod recorder;

pub(crate) use party::Party;
pub(crate) use recorder::Recorder;

use jiff::{SignedDuration, Timestamp};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{Envelope, Receipt};
use mosaic_common::{AgentId, Alias, Clock, CommandId, Refusal};
use mosaic_federation::connection::{Connections, HubPeer, SpokePeer};
use mosaic_federation::dial::DialledLink;
use mosaic_federation::issuer::{Issuer, Origin, SealedCommand};
use mosaic_federation::kind::Request;
use mosaic_federation::ledger::{Ledger, Memory};
use mosaic_federation::link::{Link, LinkError};
use mosaic_federation::listener::Listener;
use mosaic_federation::receipt::{self, ReceiptChecker};
use mosaic_federation::server::{FederationServer, Spoke};
use mosaic_store::{MemoryStore, StateStore};
use prost::Message;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) fn alias(text: &str) -> Alias {
    text.parse().unwrap()
}

/// A clock that is set by hand.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        let start = "2026-01-02T03:04:05Z".parse().unwrap();
        Arc::new(Self(Mutex::new(start)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A running spoke.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<Connections<HubPeer>>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: JoinHandle<Result<(), tonic::transport::Error>>,
}

pub(crate) async fn serve(
    party: &Party,
    hubs: Vec<HubPeer>,
    store: Arc<dyn StateStore>,
    clock: Arc<TestClock>,
    memory: Memory,
) -> Running {
    let connections = Arc::new(Connections::new(hubs));
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(any, &party.identity, connections.clone());
    let listener = listener.await.unwrap();
    let recorder = Arc::new(Recorder::default());
    let ledger = Ledger::open(store.clone(), clock.clone(), memory).await;
    let address = listener.address();
    let server = FederationServer::new(Spoke {
        identity: party.identity.clone(),
        site: party.identity.id().clone(),
        connections: connections.clone(),
        store,
        ledger: Arc::new(ledger.unwrap()),
        clock,
        execute: recorder.clone(),
    });
    let shutdown = CancellationToken::new();
    Running {
        address,
        connections,
        recorder,
        server: tokio::spawn(server.serve(listener, shutdown.clone())),
        shutdown,
    }
}

/// One hub and one spoke that know each other as `berlin-1`.
pub(crate) struct World {
    pub(crate) hub: Party,
    pub(crate) spoke: Party,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) running: Running,
    pub(crate) side: HubSide,
}

/// What a hub needs to talk to one spoke.
pub(crate) struct HubSide {
    pub(crate) peer: SpokePeer,
    pub(crate) connections: Arc<Connections<SpokePeer>>,
    pub(crate) issuer: Issuer,
    pub(crate) checker: ReceiptChecker,
    pub(crate) link: DialledLink,
}

impl HubSide {
    pub(crate) fn new(hub: &Party, peer: SpokePeer, clock: Arc<TestClock>) -> Self {
        let connections = Arc::new(Connections::new(vec![peer.clone()]));
        let link = DialledLink::new(&hub.identity, connections.clone(), peer.id.clone());
        Self {
            peer,
            connections,
            issuer: Issuer::new(&hub.identity, clock),
            checker: ReceiptChecker::new(hub.identity.id().clone()),
            link: link.unwrap(),
        }
    }

    pub(crate) fn sign<R: Request>(&self, request: &R) -> SealedCommand {
        let origin = Origin {
            on_behalf_of: "ada".into(),
            traceparent: String::new(),
        };
        self.issuer
            .command(&self.peer, CommandId::random(), request, &origin)
    }

    /// Sends a command, checks its receipt.
    pub(crate) async fn send(&self, command: &SealedCommand) -> Result<Receipt, LinkError> {
        let envelope = self.link.execute(command.envelope().clone()).await?;
        Ok(self.checker.check(&self.peer, command, &envelope).unwrap())
    }

    /// Signs and sends a request; gives the reason of the checked receipt, empty for OK.
    pub(crate) async fn ask<R: Request>(&self, request: &R) -> String {
        self.send(&self.sign(request)).await.unwrap().reason_code
    }

    /// What a refused command's sender is told, with a receipt.
    pub(crate) async fn refusal<R: Request>(&self, request: &R) -> Refusal {
        let receipt = self.send(&self.sign(request)).await.unwrap();
        receipt::answer(&receipt).unwrap_err()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut HubPeer)) -> Self {
        let (hub, spoke) = (Party::new("hub-berlin"), Party::new("spoke-alpha"));
        let (store, clock) = (Arc::<MemoryStore>::default(), TestClock::new());
        let mut peer = hub.as_hub("berlin-1");
        change(&mut peer);
        let running = serve(
            &spoke,
            vec![peer],
            store.clone(),
            clock.clone(),
            Memory::New,
        )
        .await;
        let side = HubSide::new(
            &hub,
            spoke.as_spoke("berlin-1", running.address),
            clock.clone(),
        );
        Self {
            hub,
            spoke,
            store,
            clock,
            running,
            side,
        }
    }

    /// Changes the spoke's half of the connection.
    pub(crate) fn change(&self, change: impl FnOnce(&mut HubPeer)) {
        let live = self.running.connections.by_id(&alias("berlin-1")).unwrap();
        let mut peer = live.peer().clone();
        change(&mut peer);
        self.running.connections.replace(vec![peer]);
    }

    /// Sends an envelope as it is; gives the refusal that came without a receipt.
    pub(crate) async fn rejected(&self, envelope: Envelope) -> Refusal {
        match self.side.link.execute(envelope).await {
            Err(LinkError::Rejected(refusal)) => refusal,
            other => panic!("not rejected: {other:?}"),
        }
    }

    pub(crate) fn executed(&self) -> usize {
        self.running.recorder.count()
    }
}

pub(crate) fn spawn() -> pb::SpawnRequest {
    pb::SpawnRequest {
        spec: Some(pb::AgentSpec {
            repository: "demo".into(),
            profile: "command".into(),
            sandbox: "bubblewrap".into(),
            task: "write a poem".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn agent() -> String {
    AgentId::of_command(CommandId::random()).to_string()
}

pub(crate) fn status() -> pb::GetRequest {
    pb::GetRequest {
        agent_id: agent(),
        ..Default::default()
    }
}

pub(crate) fn kill() -> pb::KillRequest {
    pb::KillRequest {
        agent_id: agent(),
        ..Default::default()
    }
}

/// The bytes of a receipt, as they travelled.
pub(crate) fn bytes(envelope: &Envelope) -> Vec<u8> {
    envelope.encode_to_vec()
}

/// Polls until it holds; fails after ten seconds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
