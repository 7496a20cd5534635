//! A spoke's inside on fakes: everything but processes, git and the network.

use mosaic_common::agent::wire::parse_spec;
use mosaic_common::agent::{AgentRecord, AgentState, Event, EventType, Limits};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, CommandId, Refusal};
use mosaic_store::{MemoryStore, StateStore};
use mosaic_testkit::clock::ManualClock;
use mosaic_testkit::sandbox::FakeSandbox;
use mosaic_testkit::worktrees::FakeWorktrees;
use orchestrator::journal::Journal;
use orchestrator::killswitch;
use orchestrator::lifecycle::{Agents, Deps, Gate};
use orchestrator::profile::Profile;
use orchestrator::sandboxes::Sandboxes;
use orchestrator::spawner::Spawner;
use std::sync::Arc;
use std::time::Duration;

/// A spoke's inside on fakes.
pub(crate) struct Stage {
    pub(crate) agents: Agents,
    pub(crate) sandbox: Arc<FakeSandbox>,
    pub(crate) worktrees: Arc<FakeWorktrees>,
    pub(crate) store: Arc<MemoryStore>,
    output: Arc<tempfile::TempDir>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Arc::default(), Arc::default(), 2).await
    }

    /// The same machine, after the spoke has come back.
    pub(crate) async fn again(&self) -> Self {
        let stage = Self::with(self.store.clone(), self.worktrees.clone(), 2).await;
        stage.agents.resume().await.unwrap();
        stage
    }

    pub(crate) async fn with(
        store: Arc<MemoryStore>,
        worktrees: Arc<FakeWorktrees>,
        running: usize,
    ) -> Self {
        let sandbox = Arc::new(FakeSandbox::default());
        Self::on(store, worktrees, sandbox, running).await
    }

    pub(crate) async fn on(
        store: Arc<MemoryStore>,
        worktrees: Arc<FakeWorktrees>,
        sandbox: Arc<FakeSandbox>,
        running: usize,
    ) -> Self {
        let output = Arc::new(tempfile::tempdir().unwrap());
        let sandboxes = Sandboxes::default().with(sandbox.clone());
        let profile: Profile = toml::from_str("kind = 'command'\nargv = ['sh']").unwrap();
        let spawner = Spawner {
            worktrees: worktrees.clone(),
            sandboxes: sandboxes.clone(),
            repositories: ["web".parse().unwrap()].into(),
            profiles: [("command".parse().unwrap(), profile)].into(),
            default_profile: Some("command".parse().unwrap()),
            limits: Limits {
                wall_clock_seconds: Some(3600),
                idle_seconds: Some(600),
                ..Limits::default()
            },
            max_limits: Limits::default(),
            output: output.path().to_owned(),
            output_max: 1024,
        };
        let journal = Journal::new(
            store.clone(),
            Arc::new(ManualClock::default()),
            "here".parse().unwrap(),
        );
        let latches = killswitch::latches(store.as_ref()).await.unwrap();
        let deps = Deps {
            spawner,
            sandboxes,
            worktrees: worktrees.clone(),
            journal,
            stop_grace: Duration::from_secs(1),
            quarantine: jiff::SignedDuration::from_hours(24),
        };
        let agents = Agents::new(deps, Gate::new(4, latches), running);
        Self {
            agents,
            sandbox,
            worktrees,
            store,
            output,
        }
    }

    /// The spec of an agent that works on a repository.
    pub(crate) fn on_web() -> pb::AgentSpec {
        pb::AgentSpec {
            repository: "web".into(),
            task: "do it".into(),
            ..Default::default()
        }
    }

    pub(crate) fn record(&self, spec: &pb::AgentSpec, command: CommandId) -> AgentRecord {
        let spec = parse_spec(spec, command).unwrap();
        AgentRecord {
            spec: self
                .agents
                .deps()
                .spawner
                .resolve(spec, Limits::default())
                .unwrap(),
            site: "here".parse().unwrap(),
            state: AgentState::Queued,
            cause: None,
            connection: None,
            command_id: command,
            created: self.agents.deps().journal.now(),
            started: None,
            ended: None,
            cleanup: None,
            usage: None,
        }
    }

    pub(crate) async fn spawn(&self, spec: &pb::AgentSpec) -> Result<AgentId, Refusal> {
        let record = self.record(spec, CommandId::random());
        let pass = self.agents.gate().enter(None)?;
        Ok(self.agents.accept(record, pass).await?.id().clone())
    }

    /// Spawns an agent and waits until it runs.
    pub(crate) async fn running(&self, spec: &pb::AgentSpec) -> AgentId {
        let agent = self.spawn(spec).await.unwrap();
        self.until(&agent, |record| record.state == AgentState::Running)
            .await;
        agent
    }

    /// Waits until an agent's record is as wanted. Time is paused in these tests, so a wait that
    /// never ends fails at once.
    pub(crate) async fn until(
        &self,
        agent: &AgentId,
        wanted: impl Fn(&AgentRecord) -> bool,
    ) -> AgentRecord {
        let look = async {
            loop {
                let record = self.agents.get(agent).await.unwrap().unwrap();
                if wanted(&record) {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(7200), look)
            .await
            .expect("it never came")
    }

    /// Waits until an agent's ending has been carried out without a failure.
    pub(crate) async fn cleaned(&self, agent: &AgentId) -> AgentRecord {
        self.until(agent, |record| {
            record
                .cleanup
                .as_ref()
                .is_some_and(|report| report.is_clean())
        })
        .await
    }

    /// Every event so far.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let events = self.store.events(0, 10_000).await.unwrap().events;
        events
            .iter()
            .map(|(_, value)| serde_json::from_slice(value).unwrap())
            .collect()
    }

    /// The types of an agent's events so far.
    pub(crate) async fn types(&self, agent: &AgentId) -> Vec<EventType> {
        let events = self.events().await;
        events
            .iter()
            .filter(|event| event.agent_id == *agent)
            .map(|event| event.r#type)
            .collect()
    }

    /// Keeps the output folder as long as the stage.
    pub(crate) fn output(&self) -> &std::path::Path {
        self.output.path()
    }
}
