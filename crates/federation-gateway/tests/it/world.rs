//! A running hub, its spokes, and clients with tokens.

use crate::spoke::Spoke;
use federation_gateway::Hub;
use federation_gateway::config::{Config, store_folder};
use federation_gateway::sites::Dial;
use federation_gateway::tokens::{Role, Tokens};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_common::proto::federation::v1::operator_service_client::OperatorServiceClient;
use mosaic_common::proto::federation::v1::{CommandRecord, ListCommandsRequest};
use mosaic_common::{Alias, CommandId, Reason, Refusal};
use mosaic_federation::connection::{ConnectionState, SpokePeer, render_spokes};
use mosaic_federation::identity::Identity;
use mosaic_federation::link::Link;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Agents = AgentServiceClient<InterceptedService<Channel, Bearer>>;

#[derive(Debug, Clone)]
pub(crate) struct Bearer(pub(crate) String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let header = format!("Bearer {}", self.0).parse().unwrap();
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }
}

/// Links that lead straight to spokes in memory.
#[derive(Debug, Clone)]
pub(crate) struct Links(BTreeMap<Alias, Arc<Spoke>>);

impl Links {
    pub(crate) fn of(spokes: impl IntoIterator<Item = impl Into<Arc<Spoke>>>) -> Self {
        let spokes = spokes.into_iter().map(Into::into);
        Self(
            spokes
                .map(|spoke: Arc<Spoke>| (spoke.peer.id.clone(), spoke))
                .collect(),
        )
    }
}

impl Dial for Links {
    fn link(&self, connection: &Alias) -> Result<Arc<dyn Link>, String> {
        let spoke = self
            .0
            .get(connection)
            .cloned()
            .ok_or("no such connection")?;
        Ok(spoke)
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) hub: Hub,
    pub(crate) spokes: BTreeMap<String, Arc<Spoke>>,
    pub(crate) admin: String,
    pub(crate) viewer: String,
}

/// A data folder with an identity, no connections and two tokens.
pub(crate) async fn data_folder() -> (TempDir, Identity, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity");
    let identity = Identity::generate(&path, "hub-test".parse().unwrap()).unwrap();
    write_connections(folder.path(), &[]);
    let tokens = Tokens::of(folder.path()).unwrap();
    let admin = tokens.create(&"ann".parse().unwrap(), Role::Admin).await;
    let viewer = tokens.create(&"vic".parse().unwrap(), Role::Viewer).await;
    (folder, identity, [admin.unwrap(), viewer.unwrap()])
}

pub(crate) fn write_connections(folder: &Path, peers: &[SpokePeer]) {
    let text = render_spokes(peers).unwrap();
    std::fs::write(folder.join("connections.toml"), text).unwrap();
}

/// A configuration for tests: any port, and sites that are given up soon.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config::of(folder.to_owned());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.limits.site_seconds = 1;
    config.limits.drain_seconds = 5;
    config
}

impl World {
    /// A hub with these active sites.
    pub(crate) async fn new(sites: &[&str]) -> Self {
        Self::with(
            &sites
                .iter()
                .map(|site| (*site, ConnectionState::Active))
                .collect::<Vec<_>>(),
        )
        .await
    }

    pub(crate) async fn with(sites: &[(&str, ConnectionState)]) -> Self {
        let (folder, identity, [admin, viewer]) = data_folder().await;
        let spokes: BTreeMap<_, _> = sites
            .iter()
            .map(|(site, state)| {
                let spoke = Spoke::new(site, *state, &identity);
                ((*site).to_owned(), Arc::new(spoke))
            })
            .collect();
        let peers: Vec<_> = spokes.values().map(|spoke| spoke.peer.clone()).collect();
        write_connections(folder.path(), &peers);
        let hub = start(folder.path(), &spokes).await;
        Self {
            folder,
            hub,
            spokes,
            admin,
            viewer,
        }
    }

    /// The same hub after its process was started anew.
    pub(crate) async fn restarted(self) -> Self {
        self.hub.stop().await;
        let hub = start(self.folder.path(), &self.spokes).await;
        Self { hub, ..self }
    }

    /// The same hub after its disk was lost: it has its identity and its connections, new tokens,
    /// and no memory.
    pub(crate) async fn without_its_store(self) -> Self {
        self.hub.stop().await;
        std::fs::remove_dir_all(store_folder(self.folder.path())).unwrap();
        let tokens = Tokens::of(self.folder.path()).unwrap();
        let admin = tokens.create(&"ann".parse().unwrap(), Role::Admin).await;
        drop(tokens);
        let hub = start(self.folder.path(), &self.spokes).await;
        let admin = admin.unwrap();
        Self { hub, admin, ..self }
    }

    pub(crate) fn spoke(&self, site: &str) -> &Spoke {
        &self.spokes[site]
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(&self.hub.address().to_string()).await
    }

    pub(crate) async fn client(&self, token: &str) -> Agents {
        connect(&self.hub, token).await
    }

    pub(crate) async fn admin(&self) -> Agents {
        self.client(&self.admin).await
    }

    /// The recorded commands, newest first, once none is pending or missing.
    pub(crate) async fn commands(&self) -> Vec<CommandRecord> {
        let bearer = Bearer(self.viewer.clone());
        let mut client = OperatorServiceClient::with_interceptor(self.channel().await, bearer);
        let answer = client.list_commands(ListCommandsRequest::default()).await;
        answer.unwrap().into_inner().commands
    }
}

async fn start(folder: &Path, spokes: &BTreeMap<String, Arc<Spoke>>) -> Hub {
    let links = Links::of(spokes.values().cloned());
    Hub::start_with(config(folder), |_, _| links).await.unwrap()
}

async fn channel(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// A client of a hub.
pub(crate) async fn connect(hub: &Hub, token: &str) -> Agents {
    connect_to(&hub.address().to_string(), token).await
}

/// A client of a hub in another process.
pub(crate) async fn connect_to(address: &str, token: &str) -> Agents {
    AgentServiceClient::with_interceptor(channel(address).await, Bearer(token.to_owned()))
}

/// A spawn of a fresh command.
pub(crate) fn spawn(site: &str) -> pb::SpawnRequest {
    let labels = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pb::SpawnRequest {
        site: site.to_owned(),
        command_id: CommandId::random().to_string(),
        spec: Some(pb::AgentSpec {
            task: "say hello".into(),
            labels: labels.into_iter().collect(),
            ..Default::default()
        }),
    }
}

/// Spawns and returns the agent's id.
pub(crate) async fn spawned(client: &mut Agents, site: &str) -> String {
    let answer = client.spawn(spawn(site)).await.unwrap();
    answer.into_inner().agent.unwrap().agent_id
}

/// The reason of a refusal that must be one of ours.
pub(crate) fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> Reason {
    let status = answer.expect_err("a refusal");
    let refusal = Refusal::from_status(&status).unwrap_or_else(|| panic!("no reason: {status:?}"));
    assert_eq!(status.code(), refusal.reason.code());
    assert!(!refusal.message.chars().any(char::is_control), "{refusal}");
    refusal.reason
}
