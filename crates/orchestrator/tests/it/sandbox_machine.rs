//! A data folder with real sandboxes on it, and a reader of the machine that trusts none of them.

use mosaic_common::agent::Limits;
use mosaic_common::{AgentId, CommandId};
use orchestrator::folders::Folders;
use orchestrator::output;
use orchestrator::sandbox::bubblewrap::Bubblewrap;
use orchestrator::sandbox::cgroup::Cgroups;
use orchestrator::sandbox::process::ProcessSandbox;
use orchestrator::sandbox::{Ending, Network, Sandbox, SandboxSpec};
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long anything here may take on a busy machine. Nothing is decided by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bubblewrap,
    Process,
    /// A plain process on a machine whose control groups cannot be used.
    ProcessWithoutGroups,
}

/// A spoke's data folder with one kind of sandbox.
pub(crate) struct Machine {
    data: tempfile::TempDir,
    kind: Kind,
    pub(crate) folders: Folders,
    pub(crate) sandbox: Arc<dyn Sandbox>,
}

impl Machine {
    pub(crate) async fn new(kind: Kind) -> Self {
        let data = tempfile::tempdir().unwrap();
        let folders = Folders::new(data.path());
        folders.create().unwrap();
        let program = install(data.path());
        let sandbox = sandbox(kind, &folders, program).await;
        Self {
            data,
            kind,
            folders,
            sandbox,
        }
    }

    /// The same data folder as a spoke sees it that has just been started.
    pub(crate) async fn restarted(&self) -> Arc<dyn Sandbox> {
        let program = self.data.path().join("bin/supervise");
        sandbox(self.kind, &self.folders, program).await
    }

    /// A new agent that runs a shell script in its own folder.
    pub(crate) fn agent(&self, script: &str) -> SandboxSpec {
        let agent = AgentId::of_command(CommandId::random());
        let folder = self.folders.claim(&agent).unwrap();
        SandboxSpec {
            argv: ["/bin/sh", "-c", script].map(String::from).into(),
            env: [("PATH".into(), "/usr/bin:/bin".into())].into(),
            stdin: Vec::new(),
            folder: folder.path,
            owner: folder.owner,
            workdir: folder.worktree,
            read_only: Vec::new(),
            limits: Limits::default(),
            network: Network::None,
            output: self.folders.output(&agent),
            output_max: 1 << 20,
            agent,
        }
    }

    /// Starts it, waits for its end, and returns that with all its output.
    pub(crate) async fn run(&self, spec: &SandboxSpec) -> (Ending, String) {
        self.sandbox.ensure(spec).await.unwrap();
        let ending = soon(self.sandbox.wait(&spec.agent)).await.unwrap();
        (ending, said(spec))
    }

    /// What a script prints, once it has ended well and is gone.
    pub(crate) async fn ask(&self, script: &str) -> String {
        let spec = self.agent(script);
        let (ending, said) = self.run(&spec).await;
        assert_eq!(ending, Ending::Exit(0), "{said}");
        self.sandbox
            .remove(&spec.agent, Duration::ZERO)
            .await
            .unwrap();
        said
    }

    /// The pid of an agent's supervisor, as it wrote it.
    pub(crate) fn supervisor(&self, agent: &AgentId) -> i32 {
        let text = fs::read(self.folders.run(agent).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let pid = state["supervisor"]["pid"].as_i64().unwrap();
        i32::try_from(pid).unwrap()
    }
}

impl Drop for Machine {
    /// Takes this test's empty groups away; the spoke itself keeps its own.
    fn drop(&mut self) {
        let groups = format!("*/mosaic-{}*", site());
        let find = ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &groups];
        let rmdir = ["-exec", "rmdir", "{}", ";"];
        drop(Command::new("find").args(find).args(rmdir).output());
    }
}

/// Each test is a process of its own; its groups bear its pid.
fn site() -> String {
    format!("test{}", std::process::id())
}

/// Puts the supervisor where agents' users can reach it.
fn install(data: &Path) -> PathBuf {
    let folder = data.join("bin");
    fs::create_dir(&folder).unwrap();
    let (built, place) = (env!("CARGO_BIN_EXE_orchestrator"), folder.join("supervise"));
    if fs::hard_link(built, &place).is_err() {
        fs::copy(built, &place).unwrap();
    }
    place
}

async fn sandbox(kind: Kind, folders: &Folders, program: PathBuf) -> Arc<dyn Sandbox> {
    let groups = Cgroups::detect(&site().parse().unwrap()).ok();
    match kind {
        Kind::Bubblewrap => {
            let probed = Bubblewrap::probe(folders, groups, program).await;
            Arc::new(probed.unwrap())
        }
        Kind::Process => Arc::new(ProcessSandbox::new(folders, groups, program).unwrap()),
        Kind::ProcessWithoutGroups => {
            Arc::new(ProcessSandbox::new(folders, None, program).unwrap())
        }
    }
}

/// Whether limits can be tested here.
pub(crate) fn has_groups() -> bool {
    Cgroups::detect(&site().parse().unwrap()).is_ok()
}

/// Everything an agent has written so far, both streams.
pub(crate) fn said(spec: &SandboxSpec) -> String {
    let chunks = output::read(&spec.output, 0, usize::MAX).unwrap();
    let bytes: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| chunk.data.to_vec())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until an agent has written `text`.
pub(crate) async fn says(spec: &SandboxSpec, text: &str) {
    until(|| said(spec).contains(text)).await;
}

/// Waits until something holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    soon(async {
        while !holds() {
            tick.tick().await;
        }
    })
    .await;
}

/// Fails instead of hanging.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// Every process of an agent, found without the spoke: by the id in its environment, and by the
/// agent's own user.
pub(crate) fn processes(spec: &SandboxSpec) -> Vec<String> {
    let mark = format!("MOSAIC_AGENT_ID={}", spec.agent);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let read = |file: &str| {
            let bytes = fs::read(path.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let status = read("status");
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
        let uid = uid.and_then(|rest| rest.split('\t').next()?.parse().ok());
        let is_owned = spec.owner.is_some() && uid == spec.owner;
        let is_zombie = status.contains("State:\tZ");
        if !is_zombie && (is_owned || read("environ").split('\0').any(|entry| entry == mark)) {
            found.push(format!("{} {}", path.display(), read("cmdline")));
        }
    }
    found
}
