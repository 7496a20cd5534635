//! The parts of a spoke: its doors, its memory of commands, its agents.

use super::StartError;
use crate::config::{Config, Retention};
use crate::disk::Room;
use crate::folders::Folders;
use crate::journal::Journal;
use crate::killswitch;
use crate::lifecycle::{Agents, Deps, Gate};
use crate::listener::LocalListener;
use crate::sandboxes::Sandboxes;
use crate::spawner::Spawner;
use crate::worktrees::Worktrees;
use jiff::SignedDuration;
use mosaic_common::Clock;
use mosaic_federation::connection::{Connections, HubPeer};
use mosaic_federation::identity::{self, Identity, IdentityError};
use mosaic_federation::ledger::Ledger;
use mosaic_federation::listener::Listener;
use mosaic_store::StateStore;
use std::sync::Arc;

/// The doors, bound but not open.
pub(super) struct SpokeListener {
    pub(super) local: LocalListener,
    pub(super) federation: Option<Listener>,
    pub(super) connections: Arc<Connections<HubPeer>>,
}

impl SpokeListener {
    pub(super) async fn bind(
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
pub(super) async fn ledger(
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

pub(super) async fn agents(
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
