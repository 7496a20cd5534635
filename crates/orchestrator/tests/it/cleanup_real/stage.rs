//! A whole spoke on real parts, and ways to look at them from outside.

use crate::sandbox::bench::needed;
use crate::site::{Site, name, until};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_testkit::engine::EngineDoor;
use mosaic_testkit::valkey::{AppendOnly, Client, Server};
use serde_json::Value;
use std::fs;
use std::process::Command;

const TOP: &str = "sandboxes = ['docker']\n";

/// The ways an ending begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Completion,
    Failure,
    Killswitch,
}

pub(super) const WAYS: [Way; 3] = [Way::Completion, Way::Failure, Way::Killswitch];

/// A spoke with a door to the engine that can be made to fail, and its Valkey.
pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) door: EngineDoor,
    valkey: Client,
    pub(super) server: Server,
}

impl Stage {
    pub(super) async fn set() -> Option<Self> {
        let version = Command::new("docker")
            .args(["image", "inspect", "mosaic-test"])
            .output();
        let engine = match version {
            Ok(done) if done.status.success() => Ok(()),
            _ => Err("run scripts/engine start".to_owned()),
        };
        needed("a Docker engine", engine)?;
        let server = Server::start(AppendOnly::No)?;
        let door = EngineDoor::open();
        let site = Site::start_with(TOP, &tables(&server, &door, true), &[]).await;
        Some(Self {
            site,
            door,
            valkey: server.client(),
            server,
        })
    }

    /// Starts an agent that will end this way, and returns once its program runs.
    pub(super) async fn running(&mut self, way: Way, repository: &str) -> String {
        let end = match way {
            Way::Completion => "exit 0",
            Way::Failure => "exit 4",
            Way::Killswitch => "sleep 1000",
        };
        let task = format!(
            "echo work > work.txt; : > ready; while ! [ -e go ]; do sleep 0.05; done; {end}"
        );
        let agent = self
            .site
            .spawn_spec(pb::AgentSpec {
                task,
                task_id: "nightly".into(),
                repository: repository.into(),
                ..Default::default()
            })
            .await;
        let ready = self.tree(&agent).join("ready");
        until("it runs", || ready.exists()).await;
        while self.site.agent(&agent).await.state() != pb::AgentState::Running {
            tokio::task::yield_now().await; // it does; the record of it comes next
        }
        agent
    }

    /// Lets it end.
    pub(super) async fn end(&mut self, way: Way, agent: &str) {
        fs::write(self.tree(agent).join("go"), "").unwrap();
        if way == Way::Killswitch {
            self.site.kill_all().await;
        }
    }

    fn tree(&self, agent: &str) -> std::path::PathBuf {
        self.site.data().join("agents").join(agent).join("worktree")
    }

    /// The agent's cleanup events in Valkey, oldest first, once there are so many.
    pub(super) async fn told(&mut self, agent: &str, count: usize) -> Vec<Value> {
        let (stream, mut told) = (format!("mosaic:events:{}", name()), Vec::new());
        until("its cleanup is told", || {
            let entries = self.valkey.stream(&stream).into_iter();
            let entries = entries.map(|(_, json)| serde_json::from_str::<Value>(&json).unwrap());
            told = entries
                .filter(|entry| entry["agentId"] == agent && entry["type"] == "agent.cleanup")
                .collect();
            told.len() >= count
        })
        .await;
        told
    }

    /// The agent's cleanup event that says this of a step.
    pub(super) async fn told_last(&mut self, agent: &str, step: &str, detail: &str) -> Value {
        let mut count = 1;
        loop {
            let told = self.told(agent, count).await;
            match told.last() {
                Some(last) if last["detail"][step] == detail => return last.clone(),
                _ => count = told.len() + 1, // it is tried again
            }
        }
    }

    /// The agent's containers, running or not, as the engine's own client lists them.
    pub(super) fn containers(&self, agent: &str) -> usize {
        let label = format!("label=mosaic.agent={agent}");
        let list = ["ps", "--all", "--quiet", "--filter", &label];
        let done = Command::new("docker").args(list).output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stdout).unwrap().lines().count()
    }

    /// Every container of the spoke.
    pub(super) fn left(&self) -> Vec<String> {
        let label = format!("label=mosaic.data={}", self.site.data().display());
        let list = ["ps", "--all", "--quiet", "--filter", &label];
        let done = Command::new("docker").args(list).output().unwrap();
        let ids = String::from_utf8(done.stdout).unwrap();
        ids.lines().map(str::to_owned).collect()
    }

    pub(super) fn live_key(&mut self, agent: &str) -> String {
        self.valkey
            .call(&["GET", &format!("mosaic:agent:{agent}")])
            .text()
    }

    /// What git reads of a file in the rescued commit.
    pub(super) fn rescued(&self, agent: &str) -> String {
        let results = self.site.data().join("results/web.git");
        let file = format!("refs/mosaic/agents/{agent}:work.txt");
        let show = Command::new("git")
            .arg("--git-dir")
            .arg(results)
            .args(["show", &file])
            .output();
        String::from_utf8(show.unwrap().stdout).unwrap()
    }

    /// Nothing of it is left, its work is kept, and its state is what it should be.
    pub(super) async fn assert_clean(&mut self, way: Way, agent: &str, repository: &str) {
        assert_eq!(self.containers(agent), 0, "{way:?}");
        let folder = self.site.data().join("agents").join(agent);
        assert!(!folder.exists(), "{way:?}: {}", folder.display());
        assert_eq!(self.live_key(agent), "", "{way:?}");
        let index = format!("mosaic:agents:{}", name());
        let listed = self.valkey.call(&["SISMEMBER", &index, agent]).text();
        assert_eq!(listed, "0", "{way:?}");
        if !repository.is_empty() {
            assert_eq!(self.rescued(agent), "work\n", "{way:?}");
        }
        let state = match way {
            Way::Completion => pb::AgentState::Completed,
            Way::Failure => pb::AgentState::Failed,
            Way::Killswitch => pb::AgentState::Killed,
        };
        assert_eq!(self.site.agent(agent).await.state(), state);
    }
}

impl Drop for Stage {
    /// By the operator's own hand.
    fn drop(&mut self) {
        let left = self.left();
        if !left.is_empty() {
            let removed = Command::new("docker")
                .args(["rm", "-f"])
                .args(left)
                .output();
            drop(removed); // the test says what was wrong
        }
    }
}

/// Engine and Valkey, as the configuration names them.
pub(super) fn tables(server: &Server, door: &EngineDoor, enabled: bool) -> String {
    format!(
        "[docker]\nenabled = {enabled}\nsocket = '{}'\nimage = 'mosaic-test'\n[valkey]\nurl = '{}'\n",
        door.socket().display(),
        server.url()
    )
}
