//! A running spoke: everything wired, every door open; and its orderly end.

use crate::config::{Config, Retention};
use crate::disk::Room;
use crate::folders::{self, Folders};
use crate::grpc::{HubCommands, LocalAgents, LocalOperator, Requests};
use crate::journal::Journal;
use crate::killswitch;
use crate::lifecycle::{Agents, Deps, Gate};
use crate::listener::LocalListener;
use crate::local_audit::LocalAudit;
use crate::sandboxes::Sandboxes;
use crate::spawner::Spawner;
use crate::worktrees::{self, Worktrees};
use crate::{adapters, cut_off, reconcile, retention, serve, upkeep};
use jiff::SignedDuration;
use mosaic_common::{Clock, SystemClock, in_full};
use mosaic_federation::connection::{self, Connections, ConnectionsError, HubPeer};
use mosaic_federation::identity::{self, Identity, IdentityError};
use mosaic_federation::ledger::Ledger;
use mosaic_federation::listener::{ListenError, Listener};
use mosaic_federation::record::Records;
use mosaic_federation::server::{FederationServer, Spoke as Federation};
use mosaic_store::{EmbeddedStore, StateStore};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running spoke.
#[derive(Debug)]
pub struct Spoke {
    config: Config,
    agents: Agents,
    connections: Arc<Connections<HubPeer>>,
    listen: Option<SocketAddr>,
    /// Cancelled first: streams end, nothing new is accepted.
    stop: CancellationToken,
    serving: Vec<JoinHandle<()>>,
}

/// The step of the start that failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("cannot make the data folder")]
    Folders(#[source] folders::Error),
    /// The identity cannot be used.
    #[error("cannot load the identity; `mosaic keygen` makes one")]
    Identity(#[source] IdentityError),
    /// The connections cannot be used.
    #[error("cannot load the connections")]
    Connections(#[source] ConnectionsError),
    /// The store cannot be used.
    #[error("cannot use the store")]
    Store(#[source] mosaic_store::Error),
    /// Git cannot be used.
    #[error("cannot prepare the worktrees")]
    Worktrees(#[source] worktrees::Error),
    /// No sandbox works.
    #[error("no sandbox works here: {0}")]
    Sandboxes(String),
    /// Hubs cannot be listened to.
    #[error("cannot listen to hubs")]
    Listen(#[source] ListenError),
    /// The local socket cannot be made.
    #[error("cannot listen on {path}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Spoke {
    /// Starts a spoke: when this returns, it serves, and what an earlier life left is taken up.
    ///
    /// # Errors
    /// The step that failed; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let folders = adapters::folders(&config);
        folders.create().map_err(StartError::Folders)?;
        let identity = Identity::load(&config.identity_folder()).map_err(StartError::Identity)?;
        let peers =
            connection::load_hubs(&config.connections_file()).map_err(StartError::Connections)?;
        let (store, _) = EmbeddedStore::open(&folders.store()).map_err(StartError::Store)?;
        let (store, clock): (Arc<dyn StateStore>, Arc<dyn Clock>) =
            (Arc::new(store), Arc::new(SystemClock));
        // The store's lock is held: nobody else works in these folders.
        folders.retire_trash().map_err(StartError::Folders)?;
        let worktrees =
            adapters::worktrees(&config, &folders, clock.clone()).map_err(StartError::Worktrees)?;
        let sandboxes = adapters::sandboxes(&config, &folders, identity.id()).await;
        if sandboxes.usable().next().is_none() {
            let why: Vec<String> = sandboxes
                .unusable()
                .map(|(name, why)| format!("{name}: {why}"))
                .collect();
            return Err(StartError::Sandboxes(why.join("; ")));
        }
        let listener = SpokeListener::bind(&config, &identity, peers).await?;
        let ledger = ledger(&config, &store, &clock).await?;
        let agents = agents(&config, &folders, sandboxes, worktrees, (&store, &clock))
            .await
            .map_err(StartError::Store)?;
        let old = folders.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = old.empty_retired() {
                tracing::warn!(error = %in_full(&error), "old trash could not be deleted");
            }
        });
        let taken = agents.resume().await.map_err(StartError::Store)?;
        let upkeep = upkeep::keep(agents.clone(), folders, config.disk);
        let mut spoke = Self::serve(config, identity, agents, listener, (store, clock, ledger));
        let upkeep = tokio::spawn(until(spoke.stop.clone(), upkeep));
        spoke.serving.push(upkeep);
        tracing::info!(site = %spoke.config.name, listen = ?spoke.listen, taken, "spoke serves");
        Ok(spoke)
    }

    fn serve(
        config: Config,
        identity: Identity,
        agents: Agents,
        listener: SpokeListener,
        (store, clock, ledger): (Arc<dyn StateStore>, Arc<dyn Clock>, Arc<Ledger>),
    ) -> Self {
        let SpokeListener {
            local,
            federation,
            connections,
        } = listener;
        let (requests, stop) = (Requests::new(agents.clone()), CancellationToken::new());
        let records = Records::new(store.clone(), clock.clone());
        let local_agents = LocalAgents::new(
            requests.clone(),
            LocalAudit::new(records.clone(), clock.clone()),
            stop.clone(),
        );
        let (id, site) = (identity.id().clone(), config.name.clone());
        let operator = LocalOperator::new(connections.clone(), records.clone(), id, site.clone());
        let cut_off = cut_off::keep(agents.clone(), connections.clone());
        let reconciler = reconcile::keep(agents.clone());
        let keeper = retention::keep(agents.clone(), records, ledger.clone(), config.retention);
        let mut serving = vec![
            tokio::spawn(serve::local(local, local_agents, operator, stop.clone())),
            tokio::spawn(until(stop.clone(), keeper)),
            tokio::spawn(until(stop.clone(), reconciler)),
            tokio::spawn(until(stop.clone(), cut_off)),
        ];
        if let Some(mirror) = adapters::mirror(&config, store.clone()) {
            serving.push(tokio::spawn(mirror.run(stop.clone())));
        }
        let listen = federation.as_ref().map(Listener::address);
        if let Some(listener) = federation {
            let execute = Arc::new(HubCommands::new(requests));
            let parts = Federation {
                identity,
                site,
                connections: connections.clone(),
                store,
                ledger,
                clock,
                execute,
            };
            let server = FederationServer::new(parts).serve(listener, stop.clone());
            serving.push(tokio::spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(%error, "the federation listener failed");
                }
            }));
        }
        Self {
            config,
            agents,
            connections,
            listen,
            stop,
            serving,
        }
    }

    /// Where hubs connect.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// The sandboxes that may be used here, and those that may not.
    #[must_use]
    pub fn sandboxes(&self) -> &Sandboxes {
        &self.agents.deps().sandboxes
    }

    /// Reads the connections again; what they no longer allow is cut at once.
    ///
    /// # Errors
    /// If the file is wrong; the connections stay as they are then.
    pub fn reload(&self) -> Result<(), ConnectionsError> {
        self.connections
            .replace(connection::load_hubs(&self.config.connections_file())?);
        Ok(())
    }

    /// Drains: no new agents, all stopped, rescued and cleaned up; then streams and doors close.
    pub async fn stop(self) {
        tracing::info!("draining");
        self.agents.drain(self.config.times.drain()).await;
        self.stop.cancel();
        for serving in self.serving {
            drop(serving.await);
        }
        tracing::info!("stopped");
    }
}

/// The doors, bound but not open.
struct SpokeListener {
    local: LocalListener,
    federation: Option<Listener>,
    connections: Arc<Connections<HubPeer>>,
}

impl SpokeListener {
    async fn bind(
        config: &Config,
        identity: &Identity,
        peers: Vec<HubPeer>,
    ) -> Result<Self, StartError> {
        let connections = Arc::new(Connections::new(peers));
        let federation = match config.listen {
            None => None,
            Some(address) => {
                let bound = Listener::bind(address, identity, connections.clone()).await;
                Some(bound.map_err(StartError::Listen)?)
            }
        };
        let path = config.socket_path();
        let failed = |source| StartError::Socket {
            path: path.clone(),
            source,
        };
        let local = LocalListener::bind(&path).await.map_err(failed)?;
        Ok(Self {
            local,
            federation,
            connections,
        })
    }
}

/// Opens the memory of commands. Under an identity that was used before, a store without one
/// means that it was lost: what was signed until now is refused then.
async fn ledger(
    config: &Config,
    store: &Arc<dyn StateStore>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Ledger>, StartError> {
    let folder = config.identity_folder();
    let ledger = Ledger::open(store.clone(), clock.clone(), identity::memory(&folder)).await;
    let ledger = Arc::new(ledger.map_err(StartError::Store)?);
    identity::mark_used(&folder).map_err(|source| {
        StartError::Identity(IdentityError::Write {
            path: folder.clone(),
            source,
        })
    })?;
    Ok(ledger)
}

async fn agents(
    config: &Config,
    folders: &Folders,
    sandboxes: Sandboxes,
    worktrees: Arc<dyn Worktrees>,
    (store, clock): (&Arc<dyn StateStore>, &Arc<dyn Clock>),
) -> Result<Agents, mosaic_store::Error> {
    let Retention {
        output_bytes,
        quarantine_days,
        ..
    } = config.retention;
    let spawner = Spawner {
        worktrees: worktrees.clone(),
        sandboxes: sandboxes.clone(),
        repositories: config.repositories.keys().cloned().collect(),
        profiles: config.profiles.clone(),
        default_profile: config.default_profile.clone(),
        limits: config.limits,
        max_limits: config.max_limits,
        output: folders.output_root(),
        output_max: output_bytes,
    };
    let journal = Journal::new(store.clone(), clock.clone(), config.name.clone());
    let latches = killswitch::latches(store.as_ref()).await?;
    let stop_grace = config.times.stop_grace();
    let deps = Deps {
        spawner,
        sandboxes,
        worktrees,
        journal,
        stop_grace,
        quarantine: SignedDuration::from_hours(24 * i64::from(quarantine_days)),
    };
    let gate = Gate::new(config.capacity.running + config.capacity.queued, latches)
        .with_disk(Room::new(folders.data(), config.disk.free_bytes));
    Ok(Agents::new(deps, gate, config.capacity.running))
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
