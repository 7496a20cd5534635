//! One hub and one spoke, each a process of its own, with their own keys, folders and sockets:
//! what an operator starts, with the product's defaults but for the numbers said here.

use crate::role::{self, Process};
use anyhow::Context;
use federation_gateway::tokens::{Role, Tokens};
use mosaic_common::Alias;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_federation::identity::Identity;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::{Interceptor, interceptor::InterceptedService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// The name of the spoke's site.
pub(crate) const SITE: &str = "bench";
/// The hub's id.
pub(crate) const HUB: &str = "hub-bench";
/// The spoke's id.
pub(crate) const SPOKE: &str = "spoke-bench";
/// The name of the client's token.
pub(crate) const CLIENT: &str = "bench";
/// The repository that agents may work on.
pub(crate) const REPOSITORY: &str = "small";

/// Agents that may run at once: what the memory row needs, with room for the others.
pub(crate) const AGENTS: usize = 128;

/// Commands a minute that the grant allows: so many that the limit is never what is measured.
const COMMANDS_PER_MINUTE: u32 = 100_000_000;

/// A client of hub or spoke.
pub(crate) type Client = AgentServiceClient<InterceptedService<Channel, Bearer>>;

/// A running hub and spoke.
#[derive(Debug)]
pub(crate) struct Site {
    folder: PathBuf,
    hub_address: SocketAddr,
    token: MetadataValue<Ascii>,
    /// Dropped first: it takes its agents with it.
    spoke: Process,
    _hub: Process,
}

/// Puts the token on a request.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Site {
    /// Starts both in `folder`, for agents in this sandbox. `repository` is what they may work on.
    ///
    /// # Errors
    /// The step that failed, with what the process said.
    pub(crate) async fn start(
        folder: &Path,
        sandbox: &str,
        repository: &Path,
    ) -> anyhow::Result<Self> {
        pass_through(folder)?;
        let (hub_address, spoke_address) = (free_address()?, free_address()?);
        let secret = prepare(folder, (hub_address, spoke_address), sandbox, repository).await?;
        let token = format!("Bearer {secret}").parse().context("a token")?;
        let (log, socket) = (folder.join("spoke.log"), folder.join("spoke/spoke.sock"));
        let mut spoke = Process::start(role::SPOKE, &config(folder, "spoke"), &log)?;
        spoke
            .until(&log, || UnixStream::connect(&socket).is_ok())
            .await?;
        let log = folder.join("hub.log");
        let mut hub = Process::start(role::HUB, &config(folder, "hub"), &log)?;
        hub.until(&log, || TcpStream::connect(hub_address).is_ok())
            .await?;
        Ok(Self {
            folder: folder.to_owned(),
            hub_address,
            token,
            spoke,
            _hub: hub,
        })
    }

    /// A client of the hub, on a connection of its own.
    pub(crate) async fn at_hub(&self) -> anyhow::Result<Client> {
        let channel = dial(self.hub_address).await?;
        Ok(AgentServiceClient::with_interceptor(
            channel,
            Bearer(Some(self.token.clone())),
        ))
    }

    /// A client of the spoke's own socket.
    pub(crate) async fn at_spoke(&self) -> anyhow::Result<Client> {
        let socket = self.data().join("spoke.sock");
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
        Ok(AgentServiceClient::with_interceptor(
            endpoint.connect().await?,
            Bearer(None),
        ))
    }

    /// The folder of hub, spoke and their identities.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The spoke's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("spoke")
    }

    /// The spoke's process id.
    pub(crate) fn spoke_process(&self) -> u32 {
        self.spoke.id()
    }
}

/// Connects to a server of clients, as the `mosaic` command does.
pub(crate) async fn dial(address: SocketAddr) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    endpoint.connect().await.context("cannot connect")
}

/// An address on this machine that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Lets agents, which run as users of their own, through to what is theirs.
pub(crate) fn pass_through(folder: &Path) -> anyhow::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))
        .with_context(|| format!("cannot open {} to agents", folder.display()))
}

fn config(folder: &Path, name: &str) -> [OsString; 2] {
    [
        "--config".into(),
        folder.join(format!("{name}.toml")).into(),
    ]
}

/// Writes keys, connections and configurations, and makes the client's token.
async fn prepare(
    folder: &Path,
    (hub_address, spoke_address): (SocketAddr, SocketAddr),
    sandbox: &str,
    repository: &Path,
) -> anyhow::Result<String> {
    let (hub_data, spoke_data) = (folder.join("hub"), folder.join("spoke"));
    let hub = Identity::generate(&hub_data.join("identity"), HUB.parse()?)?.public();
    let spoke = Identity::generate(&spoke_data.join("identity"), SPOKE.parse()?)?.public();
    pass_through(&spoke_data)?;
    let connection = format!(
        "[[connection]]\nid = \"bench\"\nepoch = 1\nstate = \"active\"\nhub = \"{HUB}\"\n\
         signing_key = \"{}\"\ntls_key = \"{}\"\n[connection.grant]\n\
         commands = [\"spawn\", \"status\", \"list\", \"kill\", \"watch\", \"logs\", \"result\"]\n\
         repositories = [\"{REPOSITORY}\"]\nprofiles = [\"command\"]\nsandboxes = [\"{sandbox}\"]\n\
         max_agents = {AGENTS}\ncommands_per_minute = {COMMANDS_PER_MINUTE}\n",
        hub.signing_key, hub.tls_key
    );
    fs::write(spoke_data.join("connections.toml"), connection)?;
    let connection = format!(
        "[[connection]]\nid = \"bench\"\nepoch = 1\nstate = \"active\"\nsite = \"{SITE}\"\nspoke = \"{SPOKE}\"\n\
         address = \"{spoke_address}\"\nsigning_key = \"{}\"\ntls_key = \"{}\"\n",
        spoke.signing_key, spoke.tls_key
    );
    fs::write(hub_data.join("connections.toml"), connection)?;
    let text = format!(
        "name = \"{SITE}\"\ndata = {spoke_data:?}\nlisten = \"{spoke_address}\"\nsandboxes = [\"{sandbox}\"]\n\
         default_profile = \"command\"\n[capacity]\nrunning = {AGENTS}\n\
         [profiles.command]\nkind = \"command\"\nargv = [\"/bin/sh\"]\n\
         [repositories.{REPOSITORY}]\npath = {repository:?}\n"
    );
    fs::write(folder.join("spoke.toml"), text)?;
    let text = format!("data = {hub_data:?}\nlisten = \"{hub_address}\"\n");
    fs::write(folder.join("hub.toml"), text)?;
    let name: Alias = CLIENT.parse()?;
    Ok(Tokens::of(&hub_data)?.create(&name, Role::Admin).await?)
}
