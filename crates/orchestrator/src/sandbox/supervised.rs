//! What bubblewrap and process have in common: a supervisor for each agent, which outlives the
//! spoke, and is found again by the agent's id alone.

mod proof;

use super::cgroup::{Cgroup, Cgroups};
use super::procfs;
use super::{Ending, Error, Removed, SandboxSpec};
use crate::folders::Folders;
use crate::sandbox::supervise::{EXIT, Exit, Launch, STATE, SUPERVISE, Started, State, read};
use crate::turns::Turns;
use mosaic_common::failpoint;
use mosaic_common::{AgentId, in_full};
use proof::{prove, remove_group};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

/// The variable that tells which spoke a process belongs to.
const SPOKE: &str = "MOSAIC_SPOKE";

/// How long a supervisor may take to say that the program runs. Namespaces take ten
/// milliseconds; a machine that is out of memory takes its time.
const START: Duration = Duration::from_secs(30);

/// How long a proof of death may take once everything has been killed: only a process that the
/// kernel cannot end, such as one that waits for a dead disk, needs longer.
const PROOF: Duration = Duration::from_secs(10);

/// The first pause before what was killed is looked at again, and the longest. The kernel ends a
/// process in less than a millisecond; one that takes longer is not worth a busy processor.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Starts, finds and ends supervisors.
#[derive(Debug, Clone)]
pub(super) struct Supervised {
    folders: Folders,
    cgroups: Option<Cgroups>,
    program: PathBuf,
    /// One call at a time for each agent.
    turns: Arc<Turns>,
}

/// What there is of an agent.
struct Found {
    state: Option<State>,
    cgroup: Option<Cgroup>,
    folder: PathBuf,
    /// Its user, while no other agent can have that.
    owner: Option<u32>,
    /// What all its processes have in their environment.
    mark: [String; 2],
}

impl Supervised {
    /// Below these folders; `program` is the executable that plays the supervisor.
    pub(super) fn new(folders: &Folders, cgroups: Option<Cgroups>, program: PathBuf) -> Self {
        Self {
            folders: folders.clone(),
            cgroups,
            program,
            turns: Arc::default(),
        }
    }

    /// Ensures a supervisor. `bubblewrap` comes before the program, if it lives in a namespace.
    pub(super) async fn ensure(
        &self,
        sandbox: &str,
        spec: &SandboxSpec,
        bubblewrap: Option<Vec<String>>,
    ) -> Result<(), Error> {
        let _turn = self.turns.take(&spec.agent).await;
        let folder = self.folders.run(&spec.agent);
        if read::<State>(&folder, STATE)
            .map_err(failed("read the supervisor's state"))?
            .is_some()
        {
            return Ok(());
        }
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&folder)
            .map_err(failed("make the supervisor's folder"))?;
        failpoint!("sandbox.folder_made");
        let cgroup = self
            .cgroups
            .as_ref()
            .map(|cgroups| cgroups.create(&spec.agent, &spec.limits));
        failpoint!("sandbox.group_made");
        let launch = Launch {
            agent: spec.agent.clone(),
            sandbox: sandbox.to_owned(),
            argv: spec.argv.clone(),
            env: self.marked(spec),
            stdin: spec.stdin.clone(),
            workdir: spec.workdir.clone(),
            owner: spec.owner,
            cgroup: cgroup
                .transpose()
                .map_err(failed("make the control group"))?,
            address_space: if self.cgroups.is_none() {
                spec.limits.memory_bytes
            } else {
                None
            },
            output: spec.output.clone(),
            output_max: spec.output_max,
            bubblewrap,
        };
        match self.launch(&folder, &launch).await? {
            Started::Yes | Started::Already => Ok(()),
            Started::No(why) => Err(Error::Start(why)),
        }
    }

    async fn launch(&self, folder: &std::path::Path, launch: &Launch) -> Result<Started, Error> {
        let mut supervisor = tokio::process::Command::new(&self.program)
            .arg(SUPERVISE)
            .arg(folder)
            .env_clear()
            .envs(failpoint::inherited())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(last_words())
            .spawn()
            .map_err(failed("start the supervisor"))?;
        failpoint!("sandbox.supervisor_started");
        let launch = serde_json::to_vec(launch).map_err(|error| Error::Start(error.to_string()))?;
        let (stdin, stdout) = (supervisor.stdin.take(), supervisor.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(Error::Start("the supervisor has no pipes".to_owned()));
        };
        let talk = async {
            stdin.write_all(&launch).await?;
            drop(stdin);
            failpoint!("sandbox.supervisor_told");
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
            Ok::<_, io::Error>(line)
        };
        let line = match timeout(START, talk).await {
            Ok(line) => line.map_err(failed("talk to the supervisor"))?,
            Err(_) => return Err(Error::Start("the supervisor does not answer".to_owned())),
        };
        serde_json::from_str(&line)
            .map_err(|_| Error::Start("the supervisor ended without a word".to_owned()))
    }

    /// Waits for the supervisor, then reads what it wrote.
    pub(super) async fn wait(&self, agent: &AgentId) -> Result<Ending, Error> {
        let folder = self.folders.run(agent);
        let state: Option<State> =
            read(&folder, STATE).map_err(failed("read the supervisor's state"))?;
        let state = state.ok_or_else(|| Error::Missing(agent.clone()))?;
        if is_of_this_boot(&state)
            && let Some(handle) = state.supervisor.handle()
        {
            ended(handle)
                .await
                .map_err(failed("watch the supervisor"))?;
        }
        let exit: Option<Exit> =
            read(&folder, EXIT).map_err(failed("read how the program ended"))?;
        Ok(exit.map_or_else(
            || Ending::Unknown("its supervisor was killed".to_owned()),
            |exit| exit.ending,
        ))
    }

    /// Asks, kills, proves, and removes what is left.
    pub(super) async fn remove(&self, agent: &AgentId, grace: Duration) -> Result<Removed, Error> {
        let _turn = self.turns.take(agent).await;
        let found = self.find(agent).map_err(Error::unproved)?;
        let Some(found) = found else {
            return Ok(Removed::Missing);
        };
        // A kill that fails half-way is no reason not to look: the proof kills once more.
        if let Err(error) = self.stop(&found, grace).await {
            tracing::warn!(agent.id = %agent, error = %in_full(&error), "a kill failed");
        }
        failpoint!("sandbox.stopped");
        let proof = prove(&found).await.map_err(Error::unproved)?;
        failpoint!("sandbox.proved");
        if let Some(cgroup) = &found.cgroup {
            remove_group(cgroup).await?;
        }
        failpoint!("sandbox.group_removed");
        // Its files are the spoke's own: nothing an agent could write is in there.
        match std::fs::remove_dir_all(&found.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove the supervisor's folder")(error));
            }
            _ => {}
        }
        Ok(Removed::Dead(proof))
    }

    async fn stop(&self, found: &Found, grace: Duration) -> Result<(), Error> {
        if let Some(state) = found.state.as_ref().filter(|state| is_of_this_boot(state)) {
            let asked = [(Signal::TERM, grace), (Signal::USR1, PROOF / 2)];
            for (signal, patience) in asked {
                let Some(handle) = state.supervisor.handle() else {
                    break;
                };
                if patience.is_zero() {
                    continue;
                }
                state.supervisor.signal(signal);
                drop(timeout(patience, ended(handle)).await);
            }
            state.supervisor.signal(Signal::KILL); // if it still is there, it is stuck
            if let Some(init) = state.init {
                init.signal(Signal::KILL);
            }
        }
        let (cgroup, mark, owner) = (found.cgroup.clone(), found.mark.clone(), found.owner);
        let kill = move || {
            if let Some(cgroup) = &cgroup {
                cgroup.kill()?;
            }
            procfs::marked(&mark, owner).map(|left| drop(procfs::kill(&left)))
        };
        off_thread(kill).await.map_err(failed("kill what is left"))
    }

    /// Every agent that has a supervisor's folder or a group.
    pub(super) fn list(&self, sandbox: &str) -> Result<Vec<AgentId>, Error> {
        let mut agents = BTreeSet::new();
        for entry in
            std::fs::read_dir(self.folders.run_root()).map_err(failed("list the supervisors"))?
        {
            let name = entry.map_err(failed("list the supervisors"))?.file_name();
            agents.extend(name.to_str().and_then(|name| name.parse::<AgentId>().ok()));
        }
        if let Some(cgroups) = &self.cgroups {
            agents.extend(
                cgroups
                    .agents()
                    .map_err(failed("list the control groups"))?,
            );
        }
        let ours = |agent: &AgentId| match read::<State>(&self.folders.run(agent), STATE) {
            Ok(Some(state)) => state.sandbox == sandbox,
            Ok(None) | Err(_) => true, // half made: whoever looks for it may have it
        };
        Ok(agents.into_iter().filter(ours).collect())
    }

    /// The program's environment, with what tells whose it is.
    fn marked(&self, spec: &SandboxSpec) -> BTreeMap<String, String> {
        let mut env = spec.env.clone();
        env.insert(SPOKE.to_owned(), self.folders.fingerprint());
        env
    }

    /// The entries that every process of an agent has in its environment: its id, and which spoke's,
    /// since two on one machine may have agents of one id.
    fn mark(&self, agent: &AgentId) -> [String; 2] {
        [
            format!("MOSAIC_AGENT_ID={agent}"),
            format!("{SPOKE}={}", self.folders.fingerprint()),
        ]
    }

    fn find(&self, agent: &AgentId) -> Result<Option<Found>, Error> {
        let folder = self.folders.run(agent);
        let state: Option<State> =
            read(&folder, STATE).map_err(failed("read the supervisor's state"))?;
        let group = state.as_ref().and_then(|state| state.cgroup.clone());
        let group = group.or_else(|| self.cgroups.as_ref().map(|cgroups| cgroups.of(agent)));
        let cgroup = group.filter(Cgroup::exists);
        let there = folder.exists() || cgroup.is_some();
        let owner = state
            .as_ref()
            .and_then(|state| state.owner)
            .filter(|owner| self.has_to_itself(agent, *owner));
        Ok(there.then_some(Found {
            state,
            cgroup,
            folder,
            owner,
            mark: self.mark(agent),
        }))
    }

    /// Whether a user is this agent's alone: as long as its folder stands, no other gets that uid.
    fn has_to_itself(&self, agent: &AgentId, owner: u32) -> bool {
        let root = rustix::process::Uid::ROOT.as_raw();
        let folder = std::fs::symlink_metadata(self.folders.agent(agent));
        owner != root && folder.is_ok_and(|folder| folder.uid() == owner)
    }
}

fn is_of_this_boot(state: &State) -> bool {
    procfs::boot().is_ok_and(|boot| boot == state.boot)
}

/// Waits until a process has ended.
///
/// The function is deprecated for handles that may be closed while they are registered; an
/// `OwnedFd` is closed by nobody else.
#[allow(deprecated)]
async fn ended(handle: OwnedFd) -> io::Result<()> {
    AsyncFd::new(handle)?.readable().await.map(drop)
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { step, source }
}

/// Where a supervisor complains: nowhere; where it was told to die, in the spoke's log.
fn last_words() -> Stdio {
    if failpoint::inherited().is_some() {
        Stdio::inherit()
    } else {
        Stdio::null()
    }
}
