//! Makes an agent: worktree, then sandbox. What it began and could not finish is the
//! cleanup's business, which finds it from the agent id.

use crate::config::SandboxName;
use crate::profile::{Isolation, Place, Profile, SecretError, User};
use crate::sandbox::{self, SandboxSpec};
use crate::sandboxes::Sandboxes;
use crate::worktrees::{self, Checkout, Worktree, Worktrees};
use mosaic_common::agent::{Cause, Limits, Spec};
use mosaic_common::failpoint;
use mosaic_common::{Alias, Reason, Refusal, in_full};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes agents.
#[derive(Debug)]
pub struct Spawner {
    /// Where they work.
    pub worktrees: Arc<dyn Worktrees>,
    /// Where they live.
    pub sandboxes: Sandboxes,
    /// The repositories there are.
    pub repositories: BTreeSet<Alias>,
    /// How they are started.
    pub profiles: BTreeMap<Alias, Profile>,
    /// The profile of those that name none.
    pub default_profile: Option<Alias>,
    /// Limits where neither request nor profile gives one.
    pub limits: Limits,
    /// Limits that no request can exceed.
    pub max_limits: Limits,
    /// The folder of output files, one an agent.
    pub output: PathBuf,
    /// Bytes of output kept of one agent.
    pub output_max: u64,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The profile or sandbox is not there any more.
    #[error("{0}")]
    Resolve(Refusal),
    /// The worktree could not be made.
    #[error("cannot add the worktree")]
    Worktree(#[source] worktrees::Error),
    /// A secret could not be read.
    #[error("cannot read a secret")]
    Secret(#[source] SecretError),
    /// The task file could not be written.
    #[error("cannot write the task file")]
    Task(#[source] std::io::Error),
    /// The sandbox could not be started.
    #[error("cannot start the sandbox")]
    Sandbox(#[source] sandbox::Error),
}

impl Error {
    /// The cause it gives the agent.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let step = match self {
            Self::Resolve(_) => "resolve",
            Self::Worktree(_) => "worktree",
            Self::Secret(_) => "secret",
            Self::Task(_) => "task",
            Self::Sandbox(_) => "sandbox",
        };
        Cause::SpawnFailed {
            step: step.to_owned(),
            detail: in_full(self),
        }
    }
}

impl Spawner {
    /// Fills in what a request left open and lowers what it wants to what it may have:
    /// the request's limits, else the profile's, else the spoke's; never above `most`.
    ///
    /// # Errors
    /// The alias that the spoke does not know.
    pub fn resolve(&self, spec: Spec, most: Limits) -> Result<Spec, Refusal> {
        let profile_name = self.profile_name(&spec)?;
        let profile = self.profile(&profile_name)?;
        if let Some(unknown) = spec
            .repository
            .as_ref()
            .filter(|name| !self.repositories.contains(*name))
        {
            return Err(Refusal::new(
                Reason::RepositoryUnknown,
                format!("this spoke has no repository {unknown}"),
            ));
        }
        let limits = spec
            .limits
            .or(profile.limits)
            .or(self.limits)
            .at_most(self.max_limits)
            .at_most(most);
        let sandbox = self.sandboxes.get(spec.sandbox.as_ref())?.name();
        Ok(Spec {
            profile: Some(profile_name),
            sandbox: Some(sandbox),
            limits,
            ..spec
        })
    }

    /// Makes a resolved agent's worktree, from nothing or from what an earlier try left. May be
    /// dropped: whoever removes the worktree then waits for the thread that makes it.
    ///
    /// # Errors
    /// [`Error::Worktree`].
    pub async fn worktree(&self, spec: &Spec) -> Result<Worktree, Error> {
        let checkout = spec.repository.clone().map(|repository| Checkout {
            repository,
            base: spec.base_ref.clone(),
        });
        let added = self.worktrees.add(&spec.agent_id, checkout.as_ref());
        added.await.map_err(Error::Worktree)
    }

    /// Starts a resolved agent's sandbox in its worktree. Must be awaited to its end: what it
    /// began is found only once it has been told.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn start(&self, spec: &Spec, worktree: Worktree) -> Result<(), Error> {
        let profile = self
            .profile_name(spec)
            .and_then(|name| self.profile(&name))
            .map_err(Error::Resolve)?;
        let sandbox = self
            .sandboxes
            .get(spec.sandbox.as_ref())
            .map_err(Error::Resolve)?;
        let task = write_task(&worktree, &spec.task).map_err(Error::Task)?;
        let isolation = if sandbox.name().as_str() == SandboxName::Process.as_str() {
            Isolation::None
        } else {
            Isolation::Sandbox
        };
        let launch = self
            .launch(spec, profile, worktree, &task, isolation)
            .map_err(Error::Secret)?;
        failpoint!("task.given");
        sandbox.ensure(&launch).await.map_err(Error::Sandbox)
    }

    /// How an agent's kind judges and limits it.
    ///
    /// # Errors
    /// [`Reason::ProfileUnknown`].
    pub fn profile(&self, name: &Alias) -> Result<&Profile, Refusal> {
        let unknown = || {
            Refusal::new(
                Reason::ProfileUnknown,
                format!("this spoke has no profile {name}"),
            )
        };
        self.profiles.get(name).ok_or_else(unknown)
    }

    /// Where an agent's output is.
    #[must_use]
    pub fn output_file(&self, spec: &Spec) -> PathBuf {
        self.output.join(spec.agent_id.as_str())
    }

    fn profile_name(&self, spec: &Spec) -> Result<Alias, Refusal> {
        let none = || {
            Refusal::new(
                Reason::ProfileUnknown,
                "name a profile: this spoke has no default",
            )
        };
        spec.profile
            .clone()
            .or_else(|| self.default_profile.clone())
            .ok_or_else(none)
    }

    fn launch(
        &self,
        spec: &Spec,
        profile: &Profile,
        worktree: Worktree,
        task: &Path,
        isolation: Isolation,
    ) -> Result<SandboxSpec, SecretError> {
        let place = Place {
            agent: &spec.agent_id,
            home: &worktree.home,
            user: user_of(&worktree),
            isolation,
        };
        let mut env = profile.environment(&place)?;
        env.extend(own_environment(spec, place.home, task));
        let mut read_only = worktree.read_only;
        read_only.extend(profile.read_only.iter().cloned());
        Ok(SandboxSpec {
            agent: spec.agent_id.clone(),
            argv: profile.command_line(&place),
            env,
            stdin: profile.stdin(&spec.task),
            folder: worktree.folder,
            owner: worktree.owner,
            workdir: worktree.path,
            read_only,
            limits: spec.limits,
            network: profile.network,
            image: profile.image.clone(),
            output: self.output_file(spec),
            output_max: self.output_max,
        })
    }
}

/// What every program gets, whatever its profile says.
fn own_environment(spec: &Spec, home: &Path, task: &Path) -> BTreeMap<String, String> {
    let own = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", home.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "dumb".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("MOSAIC_AGENT_ID", spec.agent_id.to_string()),
        ("MOSAIC_TASK_ID", spec.task_id.to_string()),
        ("MOSAIC_TASK_FILE", task.display().to_string()),
    ];
    own.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Who runs the program: the owner of its folder, or the spoke's own user.
fn user_of(worktree: &Worktree) -> User {
    let uid = worktree
        .owner
        .unwrap_or_else(|| rustix::process::geteuid().as_raw());
    if uid == 0 { User::Root } else { User::Other }
}

/// Writes the task where the agent can read it: in its folder, beside the worktree.
///
/// The agent has not run yet, so nothing in its folder can lead elsewhere.
fn write_task(worktree: &Worktree, task: &str) -> std::io::Result<PathBuf> {
    let path = worktree.folder.join("task.md");
    if path.symlink_metadata().is_ok() {
        return Ok(path); // an earlier try; the agent may have run since, so it is left alone
    }
    std::fs::write(&path, task)?;
    failpoint!("task.written");
    if let Some(owner) = worktree.owner {
        std::os::unix::fs::lchown(&path, Some(owner), Some(owner))?;
    }
    Ok(path)
}
