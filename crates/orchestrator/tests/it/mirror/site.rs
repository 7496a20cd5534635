//! A spoke of a test's own that is mirrored, as a process.

use crate::doors::connect;
use mosaic_common::agent::Event;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_federation::identity::Identity;
use mosaic_store::EmbeddedStore;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

/// The site's name: one per test process, so that tests do not meet in a control group.
pub(super) fn name() -> String {
    format!("mirror-{}", std::process::id())
}

/// Longer than any agent or pause here takes.
const LONG: Duration = Duration::from_secs(60);

/// A spoke that is mirrored: the real program, since agents run under a copy of it.
pub(super) struct Site {
    folder: tempfile::TempDir,
    spoke: Child,
    client: AgentServiceClient<Channel>,
}

impl Site {
    pub(super) async fn start(url: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Identity::generate(&data.join("identity"), "spoke".parse().unwrap()).unwrap();
        std::fs::write(data.join("connections.toml"), "").unwrap();
        let text = format!(
            "name = '{}'\ndata = '{}'\nsandboxes = ['process']\ndefault_profile = 'command'\n\
             [profiles.command]\nkind = 'command'\nargv = ['/bin/sh']\n[valkey]\nurl = '{url}'\n",
            name(),
            data.display()
        );
        let config = folder.path().join("spoke.toml");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let spoke = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .arg("--config")
            .arg(config)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let socket = data.join("spoke.sock");
        until("the spoke serves", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        let client = AgentServiceClient::new(connect(&socket).await);
        Self {
            folder,
            spoke,
            client,
        }
    }

    pub(super) async fn spawn(&mut self, task: &str) -> String {
        let spec = pb::AgentSpec {
            task: task.into(),
            task_id: "nightly".into(),
            ..Default::default()
        };
        let request = pb::SpawnRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let answer = self.client.spawn(request).await.unwrap().into_inner();
        answer.agent.unwrap().agent_id
    }

    /// A file that agents wait for.
    pub(super) fn gate(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let task = format!("while [ ! -e '{}' ]; do sleep 0.02; done", path.display());
        (path, task)
    }

    pub(super) async fn kill(&mut self, agent_id: &str) {
        let request = pb::KillRequest {
            agent_id: agent_id.into(),
            reason: "enough".into(),
            ..Default::default()
        };
        self.client.kill(request).await.unwrap();
    }

    /// Waits until the spoke says that an agent has ended.
    pub(super) async fn ended(&mut self, agent_id: &str) -> pb::AgentState {
        let begun = Instant::now();
        loop {
            let request = pb::GetRequest {
                agent_id: agent_id.into(),
                ..Default::default()
            };
            let agent = self.client.get(request).await.unwrap().into_inner().agent;
            let state = agent.unwrap().state();
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
    pub(super) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.spoke);
        // An error says that it has stopped already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.spoke.wait().unwrap();
    }

    /// What it said, about a thing.
    pub(super) fn said(&self, about: &str) -> usize {
        let said = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        said.lines().filter(|line| line.contains(about)).count()
    }

    /// The spoke's own log of events, the truth.
    pub(super) async fn log(&self) -> Vec<(u64, Event)> {
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
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
