//! A spoke of a test's own, mirrored in Valkey, as a process.

use crate::doors::connect;
use mosaic_common::agent::Event;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_federation::identity::Identity;
use mosaic_store::EmbeddedStore;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

/// The site's name: one per test process, so that tests do not meet in a control group.
pub(crate) fn name() -> String {
    format!("mirror-{}", std::process::id())
}

/// Longer than any agent or pause here takes.
const LONG: Duration = Duration::from_secs(60);

/// A spoke that is mirrored: the real program, since agents run under a copy of it.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    spoke: Child,
    client: AgentServiceClient<Channel>,
}

impl Site {
    /// Starts a spoke whose agents are plain processes.
    pub(crate) async fn start(url: &str, variables: &[(&str, &str)]) -> Self {
        let tables = format!("[valkey]\nurl = '{url}'\n");
        Self::start_with("sandboxes = ['process']\n", &tables, variables).await
    }

    /// Starts a spoke with these values at the top of its configuration, and these tables below.
    pub(crate) async fn start_with(top: &str, tables: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Agents run as other users and have to come through.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let data = folder.path().join("data");
        Identity::generate(&data.join("identity"), "spoke".parse().unwrap()).unwrap();
        fs::write(data.join("connections.toml"), "").unwrap();
        repository(&folder.path().join("web"));
        let config = configuration(folder.path(), top, tables);
        let spoke = run(folder.path(), &config, variables);
        let client = reach(&data.join("spoke.sock")).await;
        Self {
            folder,
            spoke,
            client,
        }
    }

    /// Kills the spoke as a crash does, and starts it with another configuration.
    pub(crate) async fn crash_and_start(&mut self, top: &str, tables: &str) {
        self.crash();
        self.start_again(top, tables).await;
    }

    /// Kills the spoke as a crash does.
    pub(crate) fn crash(&mut self) {
        self.spoke.kill().unwrap();
        self.spoke.wait().unwrap();
    }

    /// Starts it again, and waits until it answers.
    pub(crate) async fn start_again(&mut self, top: &str, tables: &str) {
        let config = configuration(self.folder.path(), top, tables);
        self.spoke = run(self.folder.path(), &config, &[]);
        self.reach().await;
    }

    /// Connects anew.
    pub(crate) async fn reach(&mut self) {
        self.client = reach(&self.data().join("spoke.sock")).await;
    }

    /// Starts it so that it dies at a place in its program, and waits for that.
    pub(crate) fn die_at(&mut self, place: &str, top: &str, tables: &str) {
        self.stop();
        let config = configuration(self.folder.path(), top, tables);
        let deadly = [(mosaic_common::failpoint::VARIABLE, place)];
        self.spoke = run(self.folder.path(), &config, &deadly);
        self.spoke.wait().unwrap();
        assert_eq!(self.said(&format!("failpoint {place} reached")), 1);
    }

    /// The spoke's process.
    pub(crate) fn process(&self) -> u32 {
        self.spoke.id()
    }

    /// The spoke's data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) async fn spawn(&mut self, task: &str) -> String {
        self.spawn_spec(pb::AgentSpec {
            task: task.into(),
            task_id: "nightly".into(),
            ..Default::default()
        })
        .await
    }

    pub(crate) async fn spawn_spec(&mut self, spec: pb::AgentSpec) -> String {
        let request = pb::SpawnRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let answer = self.client.spawn(request).await.unwrap().into_inner();
        answer.agent.unwrap().agent_id
    }

    /// Asks for an agent of a task, which the spoke may refuse.
    pub(crate) async fn try_spawn(&mut self, task: &str) -> Result<String, tonic::Status> {
        let spec = pb::AgentSpec {
            task: task.into(),
            ..Default::default()
        };
        let request = pb::SpawnRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let answer = self.client.spawn(request).await?.into_inner();
        Ok(answer.agent.unwrap().agent_id)
    }

    /// Everything an agent wrote, as it is kept.
    pub(crate) async fn logs(&mut self, agent_id: &str) -> Vec<pb::LogsResponse> {
        let request = pb::LogsRequest {
            agent_id: agent_id.into(),
            ..Default::default()
        };
        let answer = self.client.logs(request).await.unwrap().into_inner();
        let pieces = tokio_stream::StreamExt::collect::<Vec<_>>(answer).await;
        pieces.into_iter().map(Result::unwrap).collect()
    }

    /// Asks for one agent.
    pub(crate) async fn agent(&mut self, agent_id: &str) -> pb::Agent {
        let request = pb::GetRequest {
            agent_id: agent_id.into(),
            ..Default::default()
        };
        let answer = self.client.get(request).await.unwrap().into_inner();
        answer.agent.unwrap()
    }

    /// Kills everything, and lets agents start again.
    pub(crate) async fn kill_all(&mut self) {
        let request = pb::KillAllRequest::default();
        self.client.kill_all(request).await.unwrap();
        self.client
            .release(pb::ReleaseRequest::default())
            .await
            .unwrap();
    }

    /// A file that agents wait for.
    pub(crate) fn gate(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let task = format!("while [ ! -e '{}' ]; do sleep 0.02; done", path.display());
        (path, task)
    }

    pub(crate) async fn kill(&mut self, agent_id: &str) {
        let request = pb::KillRequest {
            agent_id: agent_id.into(),
            reason: "enough".into(),
            ..Default::default()
        };
        self.client.kill(request).await.unwrap();
    }

    /// Waits until the spoke says that an agent has ended.
    pub(crate) async fn ended(&mut self, agent_id: &str) -> pb::AgentState {
        let begun = Instant::now();
        loop {
            let state = self.agent(agent_id).await.state();
            if matches!(
                state,
                pb::AgentState::Completed | pb::AgentState::Failed | pb::AgentState::Killed
            ) {
                return state;
            }
            assert!(begun.elapsed() < LONG, "{agent_id} is {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the spoke to stop, and waits for it.
    pub(crate) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.spoke);
        // An error says that it has stopped already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.spoke.wait().unwrap();
    }

    /// What it said, about a thing.
    pub(crate) fn said(&self, about: &str) -> usize {
        let said = fs::read_to_string(self.folder.path().join("log")).unwrap();
        said.lines().filter(|line| line.contains(about)).count()
    }

    /// The spoke's own log of events, the truth.
    pub(crate) async fn log(&self) -> Vec<(u64, Event)> {
        let reader = EmbeddedStore::open_read_only(&self.folder.path().join("data/store")).unwrap();
        let events = reader.events(0, 10_000).await.unwrap().events;
        let parsed = events
            .into_iter()
            .map(|(sequence, event)| (sequence, serde_json::from_slice(&event).unwrap()));
        parsed.collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop(); // so that its agents end also when a test fails
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn configuration(folder: &Path, top: &str, tables: &str) -> PathBuf {
    let (data, web) = (folder.join("data"), folder.join("web"));
    let text = format!(
        "name = '{}'\ndata = '{}'\ndefault_profile = 'command'\n{top}\
         [profiles.command]\nkind = 'command'\nargv = ['/bin/sh']\n\
         [repositories.web]\npath = '{}'\n{tables}",
        name(),
        data.display(),
        web.display()
    );
    let config = folder.join("spoke.toml");
    fs::write(&config, text).unwrap();
    config
}

fn run(folder: &Path, config: &Path, variables: &[(&str, &str)]) -> Child {
    let mut log = fs::File::options();
    let log = log.create(true).append(true).open(folder.join("log"));
    Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .arg("--config")
        .arg(config)
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(log.unwrap())
        .spawn()
        .unwrap()
}

async fn reach(socket: &Path) -> AgentServiceClient<Channel> {
    until("the spoke serves", || {
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    })
    .await;
    AgentServiceClient::new(connect(socket).await)
}

fn repository(folder: &Path) {
    let script = "git init -q -b main . && git config user.name t && git config user.email t@t && \
                  echo hello > README.md && git add . && git commit -q -m begin";
    fs::create_dir(folder).unwrap();
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status();
    assert!(made.unwrap().success());
}
