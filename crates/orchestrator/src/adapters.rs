//! The concrete adapters behind the seams, chosen by the configuration. Nobody else names them.

use crate::config::{Config, SandboxName};
use crate::folders::Folders;
use crate::mirror::AgentView;
use crate::sandbox::Sandbox;
use crate::sandbox::bubblewrap::{self, Bubblewrap};
use crate::sandbox::cgroup::Cgroups;
use crate::sandbox::docker::Docker;
use crate::sandbox::process::ProcessSandbox;
use crate::sandbox::supervise::supervisor;
use crate::sandboxes::Sandboxes;
use crate::worktrees::{Error, GitWorktrees, Worktrees};
use mosaic_common::{Alias, Clock};
use mosaic_store::StateStore;
use mosaic_store::valkey::Mirror;
use std::sync::Arc;

/// The data folder's layout, with the uids that agents of a root spoke get.
pub(crate) fn folders(config: &Config) -> Folders {
    let first = config.uids.first;
    Folders::new(&config.data).with_owners(first..first.saturating_add(config.uids.count))
}

/// Git.
pub(crate) fn worktrees(
    config: &Config,
    folders: &Folders,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Worktrees>, Error> {
    let worktrees = GitWorktrees::new(folders.clone(), clock, config.repositories.clone())?;
    Ok(Arc::new(worktrees.with_most(config.rescue)))
}

/// The copy in Valkey, where there is to be one.
pub(crate) fn mirror(config: &Config, store: Arc<dyn StateStore>) -> Option<Mirror> {
    let valkey = config.valkey.as_ref()?;
    let site = config.name.clone();
    Some(Mirror {
        store,
        name: site.to_string(),
        view: Arc::new(AgentView { site }),
        address: valkey.url.clone(),
        credentials: valkey.credentials(),
        keep: config.retention.events,
    })
}

/// The sandboxes that the configuration allows, each tried before it is offered. `owner` is the
/// spoke's id.
pub(crate) async fn sandboxes(config: &Config, folders: &Folders, owner: &Alias) -> Sandboxes {
    // An engine makes its own.
    let own = config
        .sandboxes
        .iter()
        .any(|name| *name != SandboxName::Docker);
    let cgroups = match own.then(|| Cgroups::detect(owner, folders)) {
        None => None,
        Some(Ok(cgroups)) => Some(cgroups),
        Some(Err(why)) => {
            tracing::warn!(%why, "limits are kept by the weaker per-process limits");
            None
        }
    };
    let program = match supervisor::install(folders) {
        Ok(program) => program,
        Err(error) => return Sandboxes::default().without("supervisor", error.to_string()),
    };
    let mut sandboxes = Sandboxes::default();
    if !config.docker.enabled
        && let Ok(name) = SandboxName::Docker.as_str().parse()
    {
        sandboxes = sandboxes.forbidding(name);
    }
    for name in &config.sandboxes {
        let (cgroups, program) = (cgroups.clone(), program.clone());
        let made: Result<Arc<dyn Sandbox>, String> = match name {
            SandboxName::Docker if !config.docker.enabled => continue,
            SandboxName::Docker => Docker::probe(owner, &config.docker, folders, program)
                .await
                .map(|sandbox| Arc::new(sandbox) as _),
            SandboxName::Bubblewrap => Bubblewrap::probe(folders, cgroups, program)
                .await
                .map(|sandbox| Arc::new(sandbox) as _),
            SandboxName::Process => {
                tracing::warn!("the process sandbox isolates nothing");
                ProcessSandbox::new(folders, cgroups, program).map(|sandbox| Arc::new(sandbox) as _)
            }
        };
        sandboxes = match made {
            Ok(sandbox) => sandboxes.with(sandbox),
            Err(why) => {
                tracing::warn!(sandbox = name.as_str(), %why, "a sandbox cannot be used here");
                sandboxes.without(name.as_str(), why)
            }
        };
    }
    sandboxes
}

/// Whether the engine works on this machine, for a data folder below `folder`. Fetches the image
/// if the settings say so.
///
/// # Errors
/// Why not, for people.
pub async fn docker_works(
    folder: &std::path::Path,
    settings: &crate::config::Docker,
) -> Result<(), String> {
    let probe = folder.join("probe");
    let folders = Folders::new(&probe);
    let owner = "probe".parse().map_err(|error| format!("{error}"))?;
    let tried = match installed(&folders) {
        Ok(program) => Docker::probe(&owner, settings, &folders, program)
            .await
            .map(drop),
        Err(why) => Err(why),
    };
    drop(std::fs::remove_dir_all(&probe)); // only what was made here
    tried
}

fn installed(folders: &Folders) -> Result<std::path::PathBuf, String> {
    folders
        .create()
        .map_err(|error| mosaic_common::in_full(&error))?;
    supervisor::install(folders).map_err(|error| error.to_string())
}

/// Whether bubblewrap works on this machine, for a data folder below `folder`.
///
/// # Errors
/// Why not, for people.
pub fn bubblewrap_works(folder: &std::path::Path) -> Result<(), String> {
    let probe = folder.join("probe");
    let folders = Folders::new(&probe);
    let tried = installed(&folders)
        .and_then(|program| bubblewrap::try_out(&probe, folders.first_owner(), &program).map(drop));
    drop(std::fs::remove_dir_all(&probe)); // only what was made here
    tried
}
