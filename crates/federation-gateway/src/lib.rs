//! The hub: takes requests from clients, signs them as commands, and forwards them to spokes.
//! It holds no agent and decides nothing about one.

pub mod access;
mod census;
pub mod claims;
pub mod config;
pub mod fanout;
pub mod forwarder;
pub mod grpc;
pub mod index;
pub mod listener;
pub mod paging;
mod presence;
mod program;
mod serve;
pub mod settle;
pub mod sites;
pub mod testimony;
pub mod tokens;

pub use program::main_with;

use census::Census;
use claims::Claims;
use config::{Config, ConfigError};
use forwarder::Forwarder;
use grpc::HubParts;
use index::Index;
use jiff::SignedDuration;
use mosaic_common::{AgentId, Alias, Clock, SystemClock};
use mosaic_federation::connection::{self, Connections, ConnectionsError, SpokePeer};
use mosaic_federation::dial::DialledLink;
use mosaic_federation::identity::{Identity, IdentityError};
use mosaic_federation::issuer::Issuer;
use mosaic_federation::link::Link;
use mosaic_federation::receipt::ReceiptChecker;
use mosaic_federation::record::{CommandRecord, Records};
use mosaic_store::{EmbeddedStore, StateStore};
use serve::Serving;
use settle::Settler;
use sites::{Dial, Sites};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokens::Tokens;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    connections: Arc<Connections<SpokePeer>>,
    stop: CancellationToken,
    serving: Serving,
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
    /// The configuration does not hold together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The services cannot be described to clients that ask.
    #[error("cannot describe the services")]
    Reflection(#[source] tonic_reflection::server::Error),
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
        Self::start_with(config, |identity, connections| Dialler {
            identity: identity.clone(),
            connections,
        })
        .await
    }

    /// Starts a hub that reaches its sites in a way of the caller's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with<D: Dial + 'static>(
        config: Config,
        dial: impl FnOnce(&Identity, Arc<Connections<SpokePeer>>) -> D,
    ) -> Result<Self, StartError> {
        let config = config.check()?;
        let identity = Identity::load(&config.identity_folder()).map_err(StartError::Identity)?;
        let peers =
            connection::load_spokes(&config.connections_file()).map_err(StartError::Connections)?;
        let (store, _) =
            EmbeddedStore::open(&config::store_folder(&config.data)).map_err(StartError::Store)?;
        let (store, clock): (Arc<dyn StateStore>, Arc<dyn Clock>) =
            (Arc::new(store), Arc::new(SystemClock));
        let tokens = Tokens::new(store.clone(), clock.clone());
        check_exposure(&config, &tokens).await?;
        let connections = Arc::new(Connections::new(peers));
        let sites = Sites::new(
            connections.clone(),
            Box::new(dial(&identity, connections.clone())),
        );
        let (sender, open) = mpsc::unbounded_channel();
        let parts = parts(&config, &identity, sites, store, clock.clone(), sender);
        let (stop, memory) = (parts.stop.clone(), Memory::of(&parts));
        let (came_back, back) = mpsc::unbounded_channel();
        let presence = presence::keep(parts.sites.clone(), came_back);
        let census = Census {
            sites: parts.sites.clone(),
            forwarder: parts.forwarder.clone(),
            index: parts.index.clone(),
        };
        let settler = Settler {
            sites: parts.sites.clone(),
            forwarder: parts.forwarder.clone(),
            claims: parts.claims.clone(),
        };
        let serving = serve::start(&config, parts, tokens, identity.id().clone()).await?;
        tokio::spawn(memory.keep(clock, config.command_days, stop.clone()));
        tokio::spawn(settler.run(open, stop.clone()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(presence));
        tokio::spawn(stop.clone().run_until_cancelled_owned(census.run(back)));
        let (address, sites) = (serving.address, connections.list().len());
        tracing::info!(hub = %identity.id(), %address, sites, "hub serves");
        Ok(Self {
            config,
            connections,
            stop,
            serving,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.serving.address
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

    /// Stops: no new calls, streams end, open calls have a while, and then everything is cut.
    pub async fn stop(self) {
        self.stop.cancel();
        let Serving { cut, mut task, .. } = self.serving;
        let drained = tokio::time::timeout(self.config.limits.drain(), &mut task).await;
        if drained.is_err() {
            tracing::warn!("open calls were cut");
            cut.cancel();
            task.abort();
        }
    }
}

fn parts(
    config: &Config,
    identity: &Identity,
    sites: Sites,
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    open: mpsc::UnboundedSender<CommandRecord>,
) -> HubParts {
    HubParts {
        sites: Arc::new(sites),
        index: Index::new(store.clone(), clock.clone()),
        claims: Claims::new(store.clone(), clock.clone()),
        forwarder: Forwarder {
            issuer: Issuer::new(identity, clock.clone()),
            receipts: Arc::new(ReceiptChecker::new(identity.id().clone())),
            records: Records::new(store, clock.clone()),
            clock,
            patience: config.limits.site(),
            open,
        },
        streams: Arc::new(Semaphore::new(config.limits.streams)),
        stop: CancellationToken::new(),
    }
}

/// Beyond its machine a hub listens only where somebody has a token: it would be a door that
/// nobody can have meant to open.
async fn check_exposure(config: &Config, tokens: &Tokens) -> Result<(), StartError> {
    if config.is_exposed() && tokens.list().await.map_err(StartError::Store)?.is_empty() {
        return Err(ConfigError::NoTokens(config.listen).into());
    }
    Ok(())
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

/// What a hub remembers of commands and of agents of sites it no longer has, until their time is
/// over.
struct Memory {
    records: Records,
    claims: Claims,
    index: Index,
    sites: Arc<Sites>,
}

impl Memory {
    fn of(parts: &HubParts) -> Self {
        Self {
            records: parts.forwarder.records.clone(),
            claims: parts.claims.clone(),
            index: parts.index.clone(),
            sites: parts.sites.clone(),
        }
    }

    async fn keep(self, clock: Arc<dyn Clock>, days: u32, stop: CancellationToken) {
        /// Days are long: an hour more of a record harms nobody.
        const EVERY: Duration = Duration::from_secs(3600);
        loop {
            let limit = clock.now() - SignedDuration::from_hours(24 * i64::from(days));
            let forgotten = async {
                self.records.forget(limit).await?;
                self.claims.forget(limit).await
            };
            if let Err(error) = forgotten.await {
                drop(index::failed(&error));
            }
            let names = self.sites.names();
            let is_gone = |_: &AgentId, site: &Alias| !names.contains(site);
            self.index.forget(limit, is_gone).await.ok(); // the cause is in the log
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
