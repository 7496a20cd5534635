//! The local operator's server, every limit by name.

use crate::grpc::{LocalAgents, LocalOperator};
use crate::listener::LocalListener;
use crate::without_store::WithoutStore;
use mosaic_common::proto::agent::v1::agent_service_server::AgentServiceServer;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorServiceServer;
use mosaic_common::proto::{DESCRIPTORS, MAX_ANSWER, MAX_MESSAGE};
use mosaic_federation::overload::Overload;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

/// Requests at once in each lane: one operator and their scripts.
const REQUESTS: usize = 256;

/// Longest a request may wait for its answer to begin: a kill with the longest grace.
const LONGEST: Duration = Duration::from_secs(400);

/// Streams on one connection.
const STREAMS: u32 = 256;

/// How long open calls may take to end once the spoke stops. Streams end by themselves at once;
/// a client that says nothing would keep a graceful shutdown waiting for ever.
const GRACE: Duration = Duration::from_secs(5);

/// Serves the local operator until `stop`.
pub(crate) async fn local(
    listener: LocalListener,
    agents: LocalAgents,
    operator: LocalOperator,
    stop: CancellationToken,
) {
    let (incoming, _file) = listener.incoming();
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_serving::<AgentServiceServer<LocalAgents>>()
        .await;
    health
        .set_serving::<OperatorServiceServer<LocalOperator>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let reflection = match reflection {
        Ok(reflection) => reflection,
        Err(error) => return tracing::error!(%error, "the descriptors cannot be served"),
    };
    let agents = AgentServiceServer::new(agents)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let operator = OperatorServiceServer::new(operator)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let serve = server()
        .layer(Overload::new(REQUESTS, LONGEST))
        .add_service(agents)
        .add_service(operator)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    cut(serve, stop).await;
}

/// Serves the local operator of a spoke whose store cannot be used, until `stop`. Health says that
/// it does not serve.
pub(crate) async fn without_store(
    listener: LocalListener,
    agents: WithoutStore,
    stop: CancellationToken,
) {
    let (incoming, _file) = listener.incoming();
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_not_serving::<AgentServiceServer<WithoutStore>>()
        .await;
    let agents = AgentServiceServer::new(agents)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_ANSWER);
    let serve = server()
        .layer(Overload::new(REQUESTS, LONGEST))
        .add_service(agents)
        .add_service(health_service)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    cut(serve, stop).await;
}

fn server() -> Server {
    Server::builder().max_concurrent_streams(STREAMS)
}

/// Serves until its end, or for a while after `stop`.
async fn cut<E: std::fmt::Display>(
    serve: impl Future<Output = Result<(), E>>,
    stop: CancellationToken,
) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serve => if let Err(error) = served {
            tracing::error!(%error, "the local listener failed");
        },
        () = late => tracing::warn!("open local calls were cut"),
    }
}
