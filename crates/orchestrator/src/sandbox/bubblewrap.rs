//! Agents in namespaces of their own, by bubblewrap: no daemon, and a start in milliseconds.
//!
//! Inside, there is a read-only system, the agent's own folder at its own path, and nothing else
//! of the machine: no other process, no network but its own loopback, no home, no store.

mod arguments;

use super::cgroup::Cgroups;
use super::supervised::Supervised;
use super::{Ending, Error, Removed, Sandbox, SandboxSpec};
use crate::folders::Folders;
use arguments::arguments;
use mosaic_common::{AgentId, Alias};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Its name.
pub(crate) const NAME: &str = "bubblewrap";

/// Where bubblewrap is looked for: never in a folder that the environment names.
const PLACES: [&str; 3] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"];

/// Agents in namespaces.
#[derive(Debug)]
pub struct Bubblewrap {
    name: Alias,
    bwrap: PathBuf,
    program: PathBuf,
    supervised: Supervised,
}

impl Bubblewrap {
    /// Tries bubblewrap out, as an agent's user and below the data folder; `program` is the
    /// executable that plays the supervisor.
    ///
    /// # Errors
    /// Why it cannot be used here, for people.
    pub async fn probe(
        folders: &Folders,
        cgroups: Option<Cgroups>,
        program: PathBuf,
    ) -> Result<Self, String> {
        let name = NAME.parse().map_err(|error| format!("{error}"))?;
        let (data, owner, exe) = (
            folders.data().to_owned(),
            folders.first_owner(),
            program.clone(),
        );
        let tried = tokio::task::spawn_blocking(move || try_out(&data, owner, &exe)).await;
        let bwrap = tried.map_err(|error| error.to_string())??;
        let supervised = Supervised::new(folders, cgroups, program.clone());
        Ok(Self {
            name,
            bwrap,
            program,
            supervised,
        })
    }

    fn command(&self, spec: &SandboxSpec) -> Vec<String> {
        let mut command = vec![self.bwrap.display().to_string()];
        command.extend(arguments(spec, &self.program));
        command
    }
}

/// Runs `true` in a namespace that sees the data folder.
///
/// # Errors
/// Why that does not work, for people.
pub fn try_out(data: &Path, owner: Option<u32>, program: &Path) -> Result<PathBuf, String> {
    let bwrap = PLACES.iter().map(PathBuf::from).find(|path| path.exists());
    let bwrap = bwrap.ok_or("it is not installed (the package is called bubblewrap)")?;
    let mut command = Command::new(&bwrap);
    command
        .args([
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--ro-bind",
            "/usr",
            "/usr",
        ])
        .args(arguments::system_links())
        .args(["--proc", "/proc", "--dev", "/dev"])
        .arg("--ro-bind")
        .arg(program)
        .arg("/.mosaic/init")
        .arg("--ro-bind-try")
        .arg(data.join("bin"))
        .arg(data.join("bin"))
        .args(["--", "/usr/bin/true"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some(owner) = owner {
        command.uid(owner).gid(owner);
    }
    let done = command
        .output()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    if done.status.success() {
        return Ok(bwrap);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(format!(
        "{} (do namespaces of users work here, and can uid {owner:?} reach {}?)",
        said.trim(),
        data.display()
    ))
}

#[async_trait::async_trait]
impl Sandbox for Bubblewrap {
    fn name(&self) -> Alias {
        self.name.clone()
    }

    async fn ensure(&self, spec: &SandboxSpec) -> Result<(), Error> {
        self.supervised
            .ensure(NAME, spec, Some(self.command(spec)))
            .await
    }

    async fn wait(&self, agent: &AgentId) -> Result<Ending, Error> {
        self.supervised.wait(agent).await
    }

    async fn remove(&self, agent: &AgentId, grace: Duration) -> Result<Removed, Error> {
        self.supervised.remove(agent, grace).await
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        self.supervised.list(NAME)
    }
}
