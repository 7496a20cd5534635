//! The floor of a call through hub and spoke: two hops of bare tonic, each a process of its own.
//!
//! It has what nobody could leave out: the same messages of the same sizes, HTTP/2 in the clear
//! on the first hop, TLS 1.3 with both certificates on the second, the same windows, the same
//! runtime. It signs, checks, looks up and records nothing.

mod bare;

use crate::role::Process;
use crate::site::{dial, free_address};
use anyhow::Context;
use bare::{Bare, CLIENT_CALL, COMMAND_CALL, call, serve};
use mosaic_common::proto::agent::v1::{GetRequest, GetResponse};
use mosaic_common::proto::federation::v1::{ExecuteRequest, ExecuteResponse};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};

/// The first argument of the process in the hub's place.
pub(crate) const RELAY: &str = "play-floor-relay";
/// The first argument of the process in the spoke's place.
pub(crate) const SERVER: &str = "play-floor-server";

/// What one stream, and one connection, may have on its way: as hub and spoke have it.
const WINDOW: u32 = 1024 * 1024;

/// What the two processes need to know, as a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    relay: SocketAddr,
    server: SocketAddr,
    /// The folder with the identities of `hub` and `spoke`, whose keys are used here too.
    identities: PathBuf,
    /// The spoke's id: the name in its certificate.
    spoke: String,
    /// Every message, encoded, as hub and spoke exchange them.
    response: Vec<u8>,
    command: Vec<u8>,
    receipt: Vec<u8>,
}

/// One status call's messages.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) response: GetResponse,
    pub(crate) command: ExecuteRequest,
    pub(crate) receipt: ExecuteResponse,
}

/// Two running processes of bare tonic.
#[derive(Debug)]
pub(crate) struct Floor {
    channel: Channel,
    _relay: Process,
    _server: Process,
}

impl Floor {
    /// Starts both. `folder` holds the identities `hub` and `spoke`.
    ///
    /// # Errors
    /// The step that failed, with what the process said.
    pub(crate) async fn start(
        folder: &Path,
        spoke: &str,
        messages: &Messages,
    ) -> anyhow::Result<Self> {
        let plan = Plan {
            relay: free_address()?,
            server: free_address()?,
            identities: folder.to_owned(),
            spoke: spoke.to_owned(),
            response: messages.response.encode_to_vec(),
            command: messages.command.encode_to_vec(),
            receipt: messages.receipt.encode_to_vec(),
        };
        let path = folder.join("floor.json");
        fs::write(&path, serde_json::to_vec(&plan)?)?;
        let start = |part: &str| {
            let log = folder.join(format!("{part}.log"));
            Process::start(part, &[path.clone().into()], &log).map(|process| (process, log))
        };
        let (mut server, log) = start(SERVER)?;
        server
            .until(&log, || TcpStream::connect(plan.server).is_ok())
            .await?;
        let (mut relay, log) = start(RELAY)?;
        relay
            .until(&log, || TcpStream::connect(plan.relay).is_ok())
            .await?;
        Ok(Self {
            channel: dial(plan.relay).await?,
            _relay: relay,
            _server: server,
        })
    }

    /// The channel to the first hop.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Asks over two hops.
pub(crate) async fn get(channel: Channel, request: GetRequest) -> anyhow::Result<GetResponse> {
    Ok(call(channel, CLIENT_CALL, request).await?)
}

/// The process in the hub's place: asks the next hop, then answers.
pub(crate) fn relay(plan: &Path) -> anyhow::Result<()> {
    let plan = load(plan)?;
    let response = GetResponse::decode(plan.response.as_slice())?;
    let command = ExecuteRequest::decode(plan.command.as_slice())?;
    run(async move {
        let (cert, key) = pem(&plan.identities, "hub")?;
        let (other, _) = pem(&plan.identities, "spoke")?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(other))
            .identity(Identity::from_pem(cert, key))
            .domain_name(plan.spoke);
        let next = Endpoint::from_shared(format!("https://{}", plan.server))?
            .tls_config(tls)?
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect()
            .await
            .context("cannot reach the second hop")?;
        let relay = Bare::new(move |_: GetRequest| {
            let (next, command, response) = (next.clone(), command.clone(), response.clone());
            async move {
                let _: ExecuteResponse = call(next, COMMAND_CALL, command).await?;
                Ok(response)
            }
        });
        serve(builder(), plan.relay, relay).await
    })
}

/// The process in the spoke's place: answers.
pub(crate) fn server(plan: &Path) -> anyhow::Result<()> {
    let plan = load(plan)?;
    let receipt = ExecuteResponse::decode(plan.receipt.as_slice())?;
    run(async move {
        let (cert, key) = pem(&plan.identities, "spoke")?;
        let (other, _) = pem(&plan.identities, "hub")?;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(cert, key))
            .client_ca_root(Certificate::from_pem(other));
        let server = Bare::new(move |_: ExecuteRequest| {
            let receipt = receipt.clone();
            async move { Ok(receipt) }
        });
        serve(builder().tls_config(tls)?, plan.server, server).await
    })
}

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
}

fn load(plan: &Path) -> anyhow::Result<Plan> {
    Ok(serde_json::from_slice(&fs::read(plan)?)?)
}

fn pem(identities: &Path, name: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let folder = identities.join(name).join("identity");
    Ok((
        fs::read(folder.join("tls.crt"))?,
        fs::read(folder.join("tls.key"))?,
    ))
}

/// On the runtime that hub and spoke have too.
fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            stop = mosaic_common::process::stop_signal() => Ok(stop?),
        }
    })
}
