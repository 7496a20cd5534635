//! The spoke's federation server: takes commands from pinned hubs, and answers with receipts.
//!
//! Owns the limits of the listener and the order of the steps around the verifier. What a command
//! does is [`Execute`]'s business.

mod calls;
mod frames;
mod lane;

use crate::connection::{Connections, HubPeer};
use crate::execute::Execute;
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::listener::Listener;
use calls::Calls;
use mosaic_common::proto::federation::v1::command_service_server::CommandServiceServer;
use mosaic_common::proto::{MAX_ANSWER, MAX_MESSAGE};
use mosaic_common::{Alias, Clock};
use mosaic_store::StateStore;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Error, Server};
use tracing::warn;

/// Requests of one TLS connection at a time, streams included: what a connection's lane allows.
const STREAMS_MAX: u32 = 128;

/// How long the head of an answer may take: more than any kill needs.
const ANSWER: Duration = Duration::from_secs(120);

/// How often an idle hub is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How old a TLS connection may get, so that none outlives many configurations; and how long its
/// streams may then take to end. A watch resumes from its cursor.
const AGE: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(60));

/// Largest header list in bytes: gRPC's own take some hundred.
const HEADERS_MAX: u32 = 8 * 1024;

/// Resets a peer may cause before the connection is closed: a flood of them costs us, not it.
const RESETS_MAX: usize = 20;

/// What one stream, and one connection, may have on its way.
const WINDOW: u32 = 1024 * 1024;

/// Room of a receipt's envelope and message around the largest answer.
const ANSWER_MARGIN: usize = 64 * 1024;

/// How long a shutdown waits: first for open calls, then for what is being executed.
const GRACE: Duration = Duration::from_secs(10);

/// Everything a federation server works with.
#[derive(Debug, Clone)]
pub struct Spoke {
    /// Who it is.
    pub identity: Identity,
    /// The name of its site.
    pub site: Alias,
    /// The hubs it listens to.
    pub connections: Arc<Connections<HubPeer>>,
    /// Where receipts' numbers and the records are kept.
    pub store: Arc<dyn StateStore>,
    /// Its memory of commands, in the same store.
    pub ledger: Arc<Ledger>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What carries commands out.
    pub execute: Arc<dyn Execute>,
}

/// A federation server that is ready to serve.
#[derive(Debug)]
pub struct FederationServer {
    calls: Calls,
}

impl FederationServer {
    /// The server of this spoke.
    #[must_use]
    pub fn new(spoke: Spoke) -> Self {
        Self {
            calls: Calls::new(spoke),
        }
    }

    /// Serves until `shutdown`, then ends its streams, waits a while for what is being executed,
    /// and closes every connection.
    ///
    /// # Errors
    /// If the server cannot go on.
    pub async fn serve(
        mut self,
        listener: Listener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let cut = CancellationToken::new();
        let cut_at_end = cut.clone().drop_guard();
        let tasks = self.calls.begin(&shutdown);
        let service = CommandServiceServer::new(self.calls)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_ANSWER + ANSWER_MARGIN);
        let serve = limits(Server::builder())
            .add_service(service)
            .serve_with_incoming_shutdown(
                listener.incoming(shutdown.clone(), cut),
                shutdown.clone().cancelled_owned(),
            );
        let late = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = serve => served,
            // A client that says nothing can keep a graceful shutdown waiting for ever.
            () = late => Ok(()),
        };
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            warn!(commands = tasks.len(), "commands are still being executed");
        }
        drop(cut_at_end);
        served
    }
}

/// Every limit by name: most of the library's defaults are none.
fn limits(server: Server) -> Server {
    server
        .timeout(ANSWER)
        .concurrency_limit_per_connection(STREAMS_MAX as usize)
        .load_shed(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .max_connection_age(AGE.0)
        .max_connection_age_grace(AGE.1)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
}
