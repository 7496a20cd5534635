//! The hub's door: one listener, every limit by name.

use crate::StartError;
use crate::access::Access;
use crate::config::{Config, Tls};
use crate::grpc::{HubAgents, HubOperator, HubParts};
use crate::listener::Listener;
use crate::tokens::Tokens;
use mosaic_common::Alias;
use mosaic_common::proto::agent::v1::agent_service_server::AgentServiceServer;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorServiceServer;
use mosaic_common::proto::{DESCRIPTORS, MAX_ANSWER, MAX_MESSAGE};
use mosaic_federation::overload::Overload;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tower::ServiceBuilder;

/// Longest a request may wait for its answer to begin: a kill with the longest grace.
const LONGEST: Duration = Duration::from_secs(400);

/// How often an idle client is asked whether it is still there, and how long it may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Streams on one connection; larger than what a client queues at, smaller than the hub's own limit.
const STREAMS: u32 = 256;

/// Largest header list in bytes: gRPC's own take some hundred, a token under a hundred.
const HEADERS: u32 = 16 * 1024;

/// What one stream, and one connection, may have on its way: enough for a patch to flow.
const WINDOW: u32 = 1024 * 1024;

/// Requests a client may take back before its connection is closed: a flood of them costs us,
/// not it.
const RESETS: usize = 20;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A hub that serves.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    /// Ends what is open, after the hub has been told to stop.
    pub(crate) cut: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Binds and serves, until the parts' token says stop.
pub(crate) async fn start(
    config: &Config,
    parts: HubParts,
    tokens: Tokens,
    hub: Alias,
) -> Result<Serving, StartError> {
    let mut server = builder();
    if let Some(tls) = &config.tls {
        server = server
            .tls_config(certificate(tls)?)
            .map_err(|error| StartError::Certificate(error.into()))?;
    }
    let failed = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = Listener::bind(config.listen, config.limits.clients);
    let listener = listener.await.map_err(failed)?;
    let (address, stop, cut) = (
        listener.address(),
        parts.stop.clone(),
        CancellationToken::new(),
    );
    let front = ServiceBuilder::new()
        .layer(Access::new(tokens))
        .layer(Overload::new(config.limits.requests, LONGEST));
    let serve = server
        .layer(front)
        .add_routes(routes(parts, hub).await?)
        .serve_with_incoming_shutdown(
            listener.incoming(stop.clone(), cut.clone()),
            stop.cancelled_owned(),
        );
    Ok(Serving {
        address,
        cut,
        task: tokio::spawn(serve),
    })
}

fn builder() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .http2_max_header_list_size(HEADERS)
        .http2_max_pending_accept_reset_streams(Some(RESETS))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
}

/// Every service. Health says that we serve until the process ends: a hub that is stopping still
/// answers what is open.
async fn routes(parts: HubParts, hub: Alias) -> Result<Routes, StartError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentServiceServer<HubAgents>>().await;
    health
        .set_serving::<OperatorServiceServer<HubOperator>>()
        .await;
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let agents = AgentServiceServer::new(HubAgents::new(parts.clone()))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let operator = OperatorServiceServer::new(HubOperator::new(parts, hub))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    Ok(Routes::new(agents)
        .add_service(operator)
        .add_service(health_service)
        .add_service(describe().build_v1().map_err(StartError::Reflection)?)
        // Older tools, and gRPC's own for Python, ask for this one.
        .add_service(describe().build_v1alpha().map_err(StartError::Reflection)?))
}

/// Checks that certificate and key can be used.
pub(crate) fn check_certificate(tls: &Tls) -> Result<(), StartError> {
    let used = builder().tls_config(certificate(tls)?);
    used.map(drop)
        .map_err(|error| StartError::Certificate(error.into()))
}

fn certificate(tls: &Tls) -> Result<ServerTlsConfig, StartError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path)
            .map_err(|error| StartError::Certificate(format!("{}: {error}", path.display()).into()))
    };
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    Ok(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE))
}
