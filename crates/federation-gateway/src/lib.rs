//! The hub: takes requests from clients, signs them as commands, and forwards them to spokes.
//! It holds no agent and decides nothing about one.

pub mod config;
pub mod fanout;
pub mod forwarder;
pub mod grpc;
pub mod index;
pub mod paging;
mod program;
mod serve;
pub mod sites;
pub mod tokens;

pub use program::main_with;

use config::Config;
use forwarder::Forwarder;
use grpc::HubParts;
use index::Index;
use mosaic_common::{Alias, Clock, SystemClock};
use mosaic_federation::connection::{self, Connections, ConnectionsError, SpokePeer};
use mosaic_federation::dial::DialledLink;
use mosaic_federation::identity::{Identity, IdentityError};
use mosaic_federation::issuer::Issuer;
use mosaic_federation::link::Link;
use mosaic_federation::receipt::ReceiptChecker;
use mosaic_federation::record::Records;
use mosaic_store::{EmbeddedStore, StateStore};
use sites::{Dial, Sites};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokens::Tokens;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    config: Config,
    connections: Arc<Connections<SpokePeer>>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// The step of the start that failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The identity cannot be used.
    #[error("cannot load the identity; `mosaic keygen` makes one")]
    Identity(#[source] IdentityError),
    /// The connections cannot be used.
    #[error("cannot load the connections")]
    Connections(#[source] ConnectionsError),
    /// The store cannot be used.
    #[error("cannot open the store")]
    Store(#[source] mosaic_store::Error),
    /// The clients' certificate cannot be used.
    #[error("cannot use the certificate for clients")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Hub {
    /// Starts a hub: when this returns, it serves.
    ///
    /// # Errors
    /// The step that failed; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let identity = Identity::load(&config.identity_folder()).map_err(StartError::Identity)?;
        let peers =
            connection::load_spokes(&config.connections_file()).map_err(StartError::Connections)?;
        let (store, _) =
            EmbeddedStore::open(&config::store_folder(&config.data)).map_err(StartError::Store)?;
        let (store, clock): (Arc<dyn StateStore>, Arc<dyn Clock>) =
            (Arc::new(store), Arc::new(SystemClock));
        let connections = Arc::new(Connections::new(peers));
        let dial = Dialler {
            identity: identity.clone(),
            connections: connections.clone(),
        };
        let records = Records::new(store.clone(), clock.clone());
        let stop = CancellationToken::new();
        let parts = HubParts {
            sites: Arc::new(Sites::new(connections.clone(), Box::new(dial))),
            index: Index::new(store.clone()),
            forwarder: Forwarder {
                issuer: Issuer::new(&identity, clock.clone()),
                receipts: Arc::new(ReceiptChecker::new(identity.id().clone())),
                records: records.clone(),
                clock: clock.clone(),
                patience: config.limits.site(),
            },
            tokens: Tokens::new(store, clock.clone()),
            streams: Arc::new(Semaphore::new(config.limits.streams)),
            stop: stop.clone(),
        };
        let (address, serving) = serve::start(&config, parts, identity.id().clone()).await?;
        tokio::spawn(forget(records, clock, config.command_days, stop.clone()));
        tracing::info!(hub = %identity.id(), %address, sites = connections.list().len(), "hub serves");
        Ok(Self {
            address,
            config,
            connections,
            stop,
            serving,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads the connections again; what they no longer allow is cut at once.
    ///
    /// # Errors
    /// If the file is wrong; the connections stay as they are then.
    pub fn reload(&self) -> Result<(), ConnectionsError> {
        self.connections
            .replace(connection::load_spokes(&self.config.connections_file())?);
        Ok(())
    }

    /// Stops: no new calls, streams end, open calls have a while.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(self.config.limits.drain(), self.serving)
            .await
            .is_err()
        {
            tracing::warn!("open calls were cut");
        }
    }
}

/// Dials spokes.
#[derive(Debug)]
struct Dialler {
    identity: Identity,
    connections: Arc<Connections<SpokePeer>>,
}

impl Dial for Dialler {
    fn link(&self, connection: &Alias) -> Result<Arc<dyn Link>, String> {
        let link = DialledLink::new(&self.identity, self.connections.clone(), connection.clone());
        link.map(|link| Arc::new(link) as Arc<dyn Link>)
            .map_err(|error| error.to_string())
    }
}

/// Forgets records of commands when their time is over.
async fn forget(records: Records, clock: Arc<dyn Clock>, days: u32, stop: CancellationToken) {
    /// Days are long: an hour more of a record harms nobody.
    const EVERY: Duration = Duration::from_secs(3600);
    loop {
        let limit = clock.now() - jiff::SignedDuration::from_hours(24 * i64::from(days));
        if let Err(error) = records.forget(limit).await {
            drop(index::failed(&error));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
