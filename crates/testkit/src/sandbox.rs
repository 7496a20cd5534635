//! The sandbox's fake: programs that end when the test says so.

use mosaic_common::{AgentId, Alias};
use orchestrator::sandbox::{Ending, Error, Removed, Sandbox, SandboxSpec};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;

/// A sandbox without processes. It panics where a caller does what never makes sense.
#[derive(Debug, Default)]
pub struct FakeSandbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    agents: BTreeMap<AgentId, Program>,
    started: Vec<AgentId>,
    ensure_failures: VecDeque<Error>,
    remove_failures: VecDeque<Error>,
    stuck: Option<AgentId>,
    list_broken: bool,
}

#[derive(Debug)]
struct Program {
    spec: SandboxSpec,
    ending: watch::Sender<Option<Ending>>,
}

impl FakeSandbox {
    /// Lets an agent's program end.
    ///
    /// # Panics
    /// If there is none.
    pub fn finish(&self, agent: &AgentId, ending: Ending) {
        let state = self.lock();
        state
            .agents
            .get(agent)
            .expect("a program to end")
            .ending
            .send_replace(Some(ending));
    }

    /// Makes the next `ensure` fail.
    pub fn fail_ensure(&self, error: Error) {
        self.lock().ensure_failures.push_back(error);
    }

    /// Makes the next `remove` fail.
    pub fn fail_remove(&self, error: Error) {
        self.lock().remove_failures.push_back(error);
    }

    /// Makes every `remove` of an agent take for ever, as with an engine that does not answer.
    pub fn never_remove(&self, agent: &AgentId) {
        self.lock().stuck = Some(agent.clone());
    }

    /// Makes every `list` fail.
    pub fn break_list(&self) {
        self.lock().list_broken = true;
    }

    /// How often a program was started for an agent.
    #[must_use]
    pub fn starts(&self, agent: &AgentId) -> usize {
        self.lock()
            .started
            .iter()
            .filter(|started| *started == agent)
            .count()
    }

    /// What an agent was started with.
    #[must_use]
    pub fn spec(&self, agent: &AgentId) -> Option<SandboxSpec> {
        self.lock()
            .agents
            .get(agent)
            .map(|program| program.spec.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait::async_trait]
impl Sandbox for FakeSandbox {
    fn name(&self) -> Alias {
        "fake".parse().unwrap()
    }

    async fn ensure(&self, spec: &SandboxSpec) -> Result<(), Error> {
        assert!(!spec.argv.is_empty(), "a program must be named");
        assert!(
            spec.workdir.starts_with(&spec.folder),
            "an agent starts inside its own folder"
        );
        let mut state = self.lock();
        if let Some(error) = state.ensure_failures.pop_front() {
            return Err(error);
        }
        if !state.agents.contains_key(&spec.agent) {
            state.started.push(spec.agent.clone());
            let program = Program {
                spec: spec.clone(),
                ending: watch::Sender::new(None),
            };
            state.agents.insert(spec.agent.clone(), program);
        }
        Ok(())
    }

    async fn wait(&self, agent: &AgentId) -> Result<Ending, Error> {
        let missing = || Error::Missing(agent.clone());
        let mut ending = self
            .lock()
            .agents
            .get(agent)
            .ok_or_else(missing)?
            .ending
            .subscribe();
        let ended = ending
            .wait_for(Option::is_some)
            .await
            .map_err(|_| missing())?;
        Ok(ended.clone().expect("waited for"))
    }

    async fn remove(&self, agent: &AgentId, _grace: Duration) -> Result<Removed, Error> {
        let is_stuck = self.lock().stuck.as_ref() == Some(agent);
        if is_stuck {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        if let Some(error) = state.remove_failures.pop_front() {
            return Err(error);
        }
        match state.agents.remove(agent) {
            Some(_) => Ok(Removed::Dead("it was never more than a fake".to_owned())),
            None => Ok(Removed::Missing),
        }
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        let state = self.lock();
        if state.list_broken {
            let source = std::io::Error::other("broken by the test");
            return Err(Error::System {
                step: "list sandboxes",
                source,
            });
        }
        Ok(state.agents.keys().cloned().collect())
    }
}
