//! The hub's door: one listener, every limit by name.

use crate::StartError;
use crate::config::{Config, Tls};
use crate::grpc::{HubAgents, HubOperator, HubParts};
use mosaic_common::Alias;
use mosaic_common::proto::agent::v1::agent_service_server::AgentServiceServer;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorServiceServer;
use mosaic_common::proto::{DESCRIPTORS, MAX_ANSWER, MAX_MESSAGE};
use mosaic_federation::overload::Overload;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

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

/// Binds and serves. Returns where, and the task that serves.
pub(crate) async fn start(
    config: &Config,
    parts: HubParts,
    hub: Alias,
) -> Result<(SocketAddr, JoinHandle<Result<(), tonic::transport::Error>>), StartError> {
    let failed = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .http2_max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    if let Some(tls) = &config.tls {
        server = server
            .tls_config(certificate(tls)?)
            .map_err(|error| StartError::Certificate(error.into()))?;
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentServiceServer<HubAgents>>().await;
    health
        .set_serving::<OperatorServiceServer<HubOperator>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::Certificate(error.into()))?;
    let stop = parts.stop.clone();
    let agents = AgentServiceServer::new(HubAgents::new(parts.clone()))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let operator = OperatorServiceServer::new(HubOperator::new(parts, hub))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let serve = server
        .layer(Overload::new(config.limits.requests, LONGEST))
        .add_service(agents)
        .add_service(operator)
        .add_service(health_service)
        .add_service(reflection)
        // The builder's own setting does not reach a listener that we made: without it a small
        // answer waits 40 ms for an acknowledgement.
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async move {
                stop.cancelled().await;
                drop(health); // health stays "serving" to the end: a stopping hub still answers what is open
            },
        );
    Ok((address, tokio::spawn(serve)))
}

fn certificate(tls: &Tls) -> Result<ServerTlsConfig, StartError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path)
            .map_err(|error| StartError::Certificate(format!("{}: {error}", path.display()).into()))
    };
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    Ok(ServerTlsConfig::new().identity(identity))
}
