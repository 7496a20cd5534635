//! A running spoke: everything wired, every door open; and its orderly end.

mod parts;

use crate::config::Config;
use crate::folders::{self, DataLock};
use crate::grpc::{HubCommands, LocalAgents, LocalOperator, Requests};
use crate::killswitch::{self, Order};
use crate::lifecycle::Agents;
use crate::local_audit::LocalAudit;
use crate::sandboxes::Sandboxes;
use crate::worktrees;
use crate::{adapters, cut_off, reconcile, retention, serve, upkeep};
use mosaic_common::{Clock, CommandId, SystemClock, in_full};
use mosaic_federation::connection::{self, Connections, ConnectionsError, HubPeer};
use mosaic_federation::identity::{Identity, IdentityError};
use mosaic_federation::ledger::Ledger;
use mosaic_federation::listener::{ListenError, Listener};
use mosaic_federation::record::Records;
use mosaic_federation::server::{FederationServer, Spoke as Federation};
use mosaic_store::{EmbeddedStore, StateStore};
use parts::{SpokeListener, agents, ledger};
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
    /// Held as long as the spoke works in its folders.
    _lock: DataLock,
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
        let lock = folders.lock().map_err(StartError::Folders)?;
        let (store, _) = EmbeddedStore::open(&folders.store()).map_err(StartError::Store)?;
        let (store, clock): (Arc<dyn StateStore>, Arc<dyn Clock>) =
            (Arc::new(store), Arc::new(SystemClock));
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
        let parts = (store, clock, ledger);
        let mut spoke = Self::serve(config, identity, agents, listener, parts, lock);
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
        lock: DataLock,
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
            _lock: lock,
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

    /// Kills every agent and refuses new ones, for the local operator.
    pub async fn kill_all(&self, reason: &str) {
        let order = Order {
            command: CommandId::random(),
            by: "local".to_owned(),
            reason: reason.to_owned(),
            connection: None,
        };
        drop(killswitch::kill_all(&self.agents, &order).await); // the log and the events tell of each
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

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
