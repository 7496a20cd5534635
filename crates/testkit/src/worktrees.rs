//! The worktrees' fake: folders that are only names, and commits that are only counted.

use mosaic_common::{AgentId, Alias};
use orchestrator::worktrees::{
    Checkout, Collected, Detail, Error, Rescue, ResultItem, Summary, Worktree, Worktrees,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::mpsc;

/// The base of every fake worktree.
const BASE: &str = "1111111111111111111111111111111111111111";

/// Worktrees without git. They panic where a caller would destroy work.
#[derive(Debug)]
pub struct FakeWorktrees {
    root: tempfile::TempDir,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    folders: BTreeMap<AgentId, Option<Alias>>,
    rescued: BTreeSet<AgentId>,
    quarantined: BTreeSet<AgentId>,
    add_failures: VecDeque<Error>,
    rescue_failures: VecDeque<Error>,
    remove_failures: VecDeque<Error>,
    slow: bool,
    used: BTreeMap<AgentId, u64>,
}

impl Default for FakeWorktrees {
    fn default() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            state: Mutex::default(),
        }
    }
}

/// A failure of a step, as a test asks for one.
#[must_use]
pub fn failure(step: &'static str) -> Error {
    Error::System {
        step,
        source: std::io::Error::other("broken by the test"),
    }
}

impl FakeWorktrees {
    /// Makes the next `add` fail.
    pub fn fail_add(&self, error: Error) {
        self.lock().add_failures.push_back(error);
    }

    /// Makes every `add` take for ever, as a fetch from a server that is silent does.
    pub fn never_add(&self) {
        self.lock().slow = true;
    }

    /// Makes the next `rescue` fail.
    pub fn fail_rescue(&self, error: Error) {
        self.lock().rescue_failures.push_back(error);
    }

    /// Makes the next `remove` fail.
    pub fn fail_remove(&self, error: Error) {
        self.lock().remove_failures.push_back(error);
    }

    /// Makes an agent's folder use so many bytes from now on.
    pub fn fill(&self, agent: &AgentId, bytes: u64) {
        self.lock().used.insert(agent.clone(), bytes);
    }

    /// Whether an agent's work has been rescued.
    #[must_use]
    pub fn is_rescued(&self, agent: &AgentId) -> bool {
        self.lock().rescued.contains(agent)
    }

    /// Whether what an agent left is in quarantine.
    #[must_use]
    pub fn is_quarantined(&self, agent: &AgentId) -> bool {
        self.lock().quarantined.contains(agent)
    }

    /// Whether an agent has a folder.
    #[must_use]
    pub fn has(&self, agent: &AgentId) -> bool {
        self.lock().folders.contains_key(agent)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn folder(&self, agent: &AgentId) -> PathBuf {
        self.root.path().join(agent.as_str())
    }
}

#[async_trait::async_trait]
impl Worktrees for FakeWorktrees {
    async fn add(&self, agent: &AgentId, wanted: Option<&Checkout>) -> Result<Worktree, Error> {
        let is_slow = self.lock().slow;
        if is_slow {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        if let Some(error) = state.add_failures.pop_front() {
            return Err(error);
        }
        let folder = self.folder(agent);
        for part in ["worktree", "home"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        state.folders.insert(
            agent.clone(),
            wanted.map(|wanted| wanted.repository.clone()),
        );
        Ok(Worktree {
            path: folder.join("worktree"),
            home: folder.join("home"),
            folder,
            owner: None,
            read_only: Vec::new(),
            base_commit: wanted.map(|_| BASE.to_owned()),
        })
    }

    async fn rescue(&self, agent: &AgentId, repository: &Alias) -> Result<Rescue, Error> {
        let mut state = self.lock();
        if let Some(error) = state.rescue_failures.pop_front() {
            return Err(error);
        }
        if state.quarantined.contains(agent) {
            return Err(Error::Quarantined(agent.clone()));
        }
        if !state.rescued.contains(agent) {
            let of = state
                .folders
                .get(agent)
                .ok_or_else(|| Error::NoRescue(agent.clone()))?;
            assert_eq!(
                of.as_ref(),
                Some(repository),
                "the repository it was added from"
            );
            state.rescued.insert(agent.clone());
        }
        let commit = "2222222222222222222222222222222222222222".to_owned();
        Ok(Rescue {
            commit,
            base_commit: BASE.to_owned(),
            ignored_files: 0,
            skipped_files: 0,
        })
    }

    async fn remove(&self, agent: &AgentId, repository: Option<&Alias>) -> Result<(), Error> {
        let mut state = self.lock();
        if let Some(error) = state.remove_failures.pop_front() {
            return Err(error);
        }
        let holds_work = repository.is_some() && state.folders.contains_key(agent);
        let may_hold_none = !self.folder(agent).join("task.md").exists();
        assert!(
            !holds_work || may_hold_none || state.rescued.contains(agent),
            "work is rescued before it is removed"
        );
        state.folders.remove(agent);
        drop(std::fs::remove_dir_all(self.folder(agent)));
        Ok(())
    }

    async fn quarantine(&self, agent: &AgentId) -> Result<PathBuf, Error> {
        let mut state = self.lock();
        if state.folders.remove(agent).is_some() {
            state.quarantined.insert(agent.clone());
        }
        assert!(
            state.quarantined.contains(agent),
            "there is something to keep"
        );
        Ok(self.folder(agent))
    }

    async fn expire(&self, agent: &AgentId, _: Option<&Alias>) -> Result<(), Error> {
        self.lock().quarantined.remove(agent);
        drop(std::fs::remove_dir_all(self.folder(agent)));
        Ok(())
    }

    async fn origin(&self, agent: &AgentId) -> Result<Option<Alias>, Error> {
        Ok(self.lock().folders.get(agent).cloned().flatten())
    }

    async fn used(&self, agent: &AgentId, _enough: u64) -> Result<u64, Error> {
        Ok(self.lock().used.get(agent).copied().unwrap_or_default())
    }

    async fn collect(&self, _most: u64) -> Result<Collected, Error> {
        Ok(Collected::default())
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        Ok(self.lock().folders.keys().cloned().collect())
    }

    async fn result(
        &self,
        agent: &AgentId,
        _repository: &Alias,
        detail: Detail,
        to: mpsc::Sender<ResultItem>,
    ) -> Result<(), Error> {
        if !self.is_rescued(agent) {
            return Err(Error::NoRescue(agent.clone()));
        }
        let summary = Summary {
            base_commit: BASE.to_owned(),
            rescue_commit: "2222222222222222222222222222222222222222".to_owned(),
            files_changed: 1,
            insertions: 1,
            deletions: 0,
            commits: 1,
        };
        drop(to.send(ResultItem::Summary(summary)).await);
        if detail == Detail::Patch {
            drop(to.send(ResultItem::Patch("+ a line\n".into())).await);
        }
        Ok(())
    }
}
