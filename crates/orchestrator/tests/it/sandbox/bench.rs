//! A data folder, a sandbox that uses it, and ways to look at the machine from outside.

use mosaic_common::agent::Limits;
use mosaic_common::{AgentId, CommandId};
use orchestrator::config::Docker as Settings;
use orchestrator::folders::Folders;
use orchestrator::output::{self, Stream};
use orchestrator::sandbox::bubblewrap::Bubblewrap;
use orchestrator::sandbox::cgroup::Cgroups;
use orchestrator::sandbox::docker::Docker;
use orchestrator::sandbox::process::ProcessSandbox;
use orchestrator::sandbox::{Ending, Error, Network, Removed, Sandbox, SandboxSpec};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// No process.
pub(crate) const NOBODY: [i32; 0] = [];

/// How long anything may take before it counts as never.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The spoke whose control groups and containers the tests use.
const SPOKE: &str = "sandbox-tests";

/// The image that `scripts/setup` brings for tests.
const IMAGE: &str = "mosaic-test";

/// A data folder and a sandbox on it. What was left running is killed at the end.
pub(crate) struct Bench {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) folders: Folders,
    cgroups: Option<Cgroups>,
    program: PathBuf,
    _data: tempfile::TempDir,
}

impl Bench {
    /// In containers; `None`, and a word about it, where there is no engine with the tests' image.
    pub(crate) async fn docker() -> Option<Self> {
        let (data, folders, program) = data();
        let made = Docker::probe(&spoke(), &settings(), &folders, program.clone()).await;
        Some(Self {
            sandbox: Arc::new(needed("a Docker engine", made)?),
            folders,
            cgroups: None,
            program,
            _data: data,
        })
    }

    /// With namespaces; `None`, and a word about it, where they cannot be had.
    pub(crate) async fn bubblewrap() -> Option<Self> {
        let (data, folders, program) = data();
        let cgroups = needed("control groups", cgroups(&folders))?;
        let made = Bubblewrap::probe(&folders, Some(cgroups.clone()), program.clone()).await;
        Some(Self {
            sandbox: Arc::new(needed("bubblewrap", made)?),
            folders,
            cgroups: Some(cgroups),
            program,
            _data: data,
        })
    }

    /// Without namespaces.
    pub(crate) async fn process() -> Option<Self> {
        let (data, folders, program) = data();
        let cgroups = needed("control groups", cgroups(&folders))?;
        Some(Self::plain(data, folders, program, Some(cgroups)))
    }

    /// Without namespaces, and without control groups.
    pub(crate) fn process_alone() -> Self {
        let (data, folders, program) = data();
        Self::plain(data, folders, program, None)
    }

    fn plain(
        data: tempfile::TempDir,
        folders: Folders,
        program: PathBuf,
        cgroups: Option<Cgroups>,
    ) -> Self {
        let made = ProcessSandbox::new(&folders, cgroups.clone(), program.clone());
        Self {
            sandbox: Arc::new(made.unwrap()),
            folders,
            cgroups,
            program,
            _data: data,
        }
    }

    /// Another object of the same sandbox, as a spoke has after it has come back.
    pub(crate) async fn again(&self) -> Arc<dyn Sandbox> {
        let (cgroups, program) = (self.cgroups.clone(), self.program.clone());
        match self.sandbox.name().as_str() {
            "docker" => Arc::new(
                Docker::probe(&spoke(), &settings(), &self.folders, program)
                    .await
                    .unwrap(),
            ),
            "process" => Arc::new(ProcessSandbox::new(&self.folders, cgroups, program).unwrap()),
            _ => Arc::new(
                Bubblewrap::probe(&self.folders, cgroups, program)
                    .await
                    .unwrap(),
            ),
        }
    }

    /// A new agent that runs a shell's script in its own working tree.
    pub(crate) fn spec(&self, script: &str) -> SandboxSpec {
        let agent = AgentId::of_command(CommandId::random());
        let own = self.folders.claim(&agent).unwrap();
        SandboxSpec {
            argv: ["sh", "-c", script].map(String::from).to_vec(),
            env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            stdin: Vec::new(),
            folder: own.path,
            owner: own.owner,
            workdir: own.worktree,
            read_only: Vec::new(),
            image: None,
            limits: Limits::default(),
            network: Network::None,
            output: self.folders.output(&agent),
            output_max: 1 << 20,
            agent,
        }
    }

    /// Starts a script that is to go on; returns once it has made the file `ready`.
    pub(crate) async fn running(&self, script: &str) -> SandboxSpec {
        let spec = self.spec(script);
        self.sandbox.ensure(&spec).await.unwrap();
        let ready = spec.workdir.join("ready");
        until("the program is ready", || ready.exists()).await;
        spec
    }

    /// Runs a script to its end.
    pub(crate) async fn run(&self, script: &str) -> (SandboxSpec, Ending) {
        self.run_spec(self.spec(script)).await
    }

    /// Runs it to its end.
    pub(crate) async fn run_spec(&self, spec: SandboxSpec) -> (SandboxSpec, Ending) {
        self.sandbox.ensure(&spec).await.unwrap();
        let ending = self.ending(&spec).await;
        (spec, ending)
    }

    /// How it ends.
    pub(crate) async fn ending(&self, spec: &SandboxSpec) -> Ending {
        in_time(self.sandbox.wait(&spec.agent)).await.unwrap()
    }

    /// Removes it at once.
    pub(crate) async fn remove(&self, spec: &SandboxSpec) -> Result<Removed, Error> {
        in_time(self.sandbox.remove(&spec.agent, Duration::ZERO)).await
    }

    /// Removes it, and looks for itself that nothing is left: no process, no file, no group.
    pub(crate) async fn remove_for_good(&self, spec: &SandboxSpec) {
        let removed = self.remove(spec).await.unwrap();
        assert!(matches!(removed, Removed::Dead(_)), "{removed:?}");
        self.assert_gone(spec).await;
    }

    /// Looks for itself that nothing is left of it.
    pub(crate) async fn assert_gone(&self, spec: &SandboxSpec) {
        assert_eq!(bearing(&spec.agent), NOBODY, "processes are left");
        assert!(!self.folders.run(&spec.agent).exists(), "a folder is left");
        assert_eq!(groups_of(&spec.agent), Vec::<PathBuf>::new());
        let listed = self.sandbox.list().await.unwrap();
        assert!(!listed.contains(&spec.agent), "it is still listed");
        let again = self.remove(spec).await.unwrap();
        assert_eq!(again, Removed::Missing);
    }
}

impl Drop for Bench {
    /// In a thread, because a runtime may not wait inside another.
    fn drop(&mut self) {
        let (sandbox, folders) = (self.sandbox.clone(), self.folders.clone());
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let listed = runtime.block_on(sandbox.list()).unwrap();
            // Another bench may use the same control groups.
            let left = listed.iter().filter(|agent| folders.agent(agent).exists());
            for agent in left {
                runtime
                    .block_on(sandbox.remove(agent, Duration::ZERO))
                    .unwrap();
            }
        });
        if clean.join().is_err() && !std::thread::panicking() {
            panic!("an agent cannot be removed");
        }
    }
}

/// The spoke of the tests.
pub(crate) fn spoke() -> mosaic_common::Alias {
    SPOKE.parse().unwrap()
}

/// The engine of the tests.
pub(crate) fn settings() -> Settings {
    Settings {
        image: IMAGE.to_owned(),
        ..Settings::default()
    }
}

/// A data folder with the supervisor's program where every uid can run it.
fn data() -> (tempfile::TempDir, Folders, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o711)).unwrap();
    let folders = Folders::new(data.path());
    folders.create().unwrap();
    let bin = data.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::set_permissions(&bin, Permissions::from_mode(0o755)).unwrap();
    let (built, program) = (env!("CARGO_BIN_EXE_orchestrator"), bin.join("supervise"));
    if fs::hard_link(built, &program).is_err() {
        fs::copy(built, &program).unwrap(); // another disk
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    (data, folders, program)
}

fn cgroups(folders: &Folders) -> Result<Cgroups, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("the tests do not run as root".to_owned());
    }
    Cgroups::detect(&spoke(), folders)
}

/// What a test cannot do without: a failure where it is promised, a loud skip elsewhere.
pub(crate) fn needed<T>(what: &str, made: Result<T, String>) -> Option<T> {
    match made {
        Ok(made) => Some(made),
        Err(why) if std::env::var_os("MOSAIC_CI").is_some_and(|set| set == "1") => {
            panic!("{what} is needed here: {why}")
        }
        Err(why) => {
            eprintln!("##### SKIPPED, NOTHING WAS TESTED: {what} is missing: {why} #####");
            None
        }
    }
}

/// Fails if it takes long.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("in time")
}

/// Looks until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every process whose file of this name in `/proc` holds these bytes.
pub(crate) fn holding(file: &str, bytes: &[u8]) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.windows(bytes.len()).any(|part| part == bytes)
    })
    .collect()
}

/// Every process with the agent's id in its environment.
pub(crate) fn bearing(agent: &AgentId) -> Vec<i32> {
    holding("environ", format!("MOSAIC_AGENT_ID={agent}\0").as_bytes())
}

/// Every control group of the agent.
fn groups_of(agent: &AgentId) -> Vec<PathBuf> {
    fn look(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == name {
                    found.push(entry.path());
                }
                look(&entry.path(), name, found);
            }
        }
    }
    let mut found = Vec::new();
    look(Path::new("/sys/fs/cgroup"), agent.as_str(), &mut found);
    found
}

/// All it wrote to one stream, and how many bytes of it were dropped.
pub(crate) fn written(spec: &SandboxSpec, stream: Stream) -> (Vec<u8>, u64) {
    let chunks = output::read(&spec.output, 0, usize::MAX).unwrap();
    let chunks = chunks.iter().filter(|chunk| chunk.stream == stream);
    chunks.fold((Vec::new(), 0), |(mut data, dropped), chunk| {
        data.extend_from_slice(&chunk.data);
        (data, dropped + chunk.dropped)
    })
}

/// All it wrote to standard output, as text.
pub(crate) fn said(spec: &SandboxSpec) -> String {
    String::from_utf8(written(spec, Stream::Stdout).0).unwrap()
}
