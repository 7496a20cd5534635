//! Working trees by git: a shared read-only cache, a private repository per agent, and a clean
//! repository of rescued work.
//!
//! It wires the parts and keeps the order of steps; each part says what it does itself.

use super::{
    Checkout, Collected, Detail, Error, Most, Repository, Rescue, ResultItem, Worktree, Worktrees,
    cache::Cache, checkout, collect::Collection, fetch::Git, handle::Folder, report, rescue,
    results::Results, system_failed, usage,
};
use crate::folders::{self, AgentFolder, Folders};
use crate::turns::{Turn, Turns};
use mosaic_common::agent::BaseRef;
use mosaic_common::{AgentId, Alias, clock::Clock};
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};
use tokio::sync::{Mutex, mpsc};

/// The working trees of one spoke.
#[derive(Debug)]
pub struct GitWorktrees {
    folders: Folders,
    clock: Arc<dyn Clock>,
    git: Git,
    caches: BTreeMap<Alias, Arc<Cache>>,
    most: Most,
    turns: Turns,
    /// Held while somebody counts: a count costs the disk's time, and handles.
    counting: Arc<Mutex<()>>,
    /// Held while somebody collects.
    collecting: Mutex<()>,
}

impl GitWorktrees {
    /// The working trees in `folders`, which exist, of these repositories. Fetches nothing yet.
    ///
    /// # Errors
    /// If what git needs to run cannot be written.
    pub fn new(
        folders: Folders,
        clock: Arc<dyn Clock>,
        repositories: BTreeMap<Alias, Repository>,
    ) -> Result<Self, Error> {
        let root = std::path::absolute(folders.cache()).map_err(system_failed("find the cache"))?;
        let cache = |(alias, repository): (Alias, Repository)| {
            let cache = Cache::new(&root, alias.clone(), repository);
            (alias, Arc::new(cache))
        };
        Ok(Self {
            git: Git::prepare(&root)?,
            caches: repositories.into_iter().map(cache).collect(),
            folders,
            clock,
            most: Most::default(),
            turns: Turns::default(),
            counting: Arc::default(),
            collecting: Mutex::default(),
        })
    }

    /// The same with another limit to what is rescued of one agent.
    #[must_use]
    pub fn with_most(mut self, most: Most) -> Self {
        self.most = most;
        self
    }

    fn cache(&self, alias: &Alias) -> Result<Arc<Cache>, Error> {
        let found = self.caches.get(alias).cloned();
        found.ok_or_else(|| Error::UnknownRepository(alias.clone()))
    }

    fn results(&self, alias: &Alias) -> PathBuf {
        self.folders.results().join(format!("{alias}.git"))
    }

    async fn check_out(&self, agent: &AgentId, wanted: &Checkout) -> Result<Worktree, Error> {
        let cache = self.cache(&wanted.repository)?;
        let results = self.results(&wanted.repository);
        let turn = self.turns.take(agent).await;
        let job = Job {
            agent: agent.clone(),
            base: wanted.base.clone(),
            folders: self.folders.clone(),
            cache: cache.clone(),
            results,
            _turn: turn,
        };
        let (job, there) = blocking(|| {
            let there = job.existing()?;
            Ok((job, there))
        })
        .await?;
        if let Some(worktree) = there {
            return Ok(worktree);
        }
        let visit = cache.visit().await;
        cache.refresh(&self.git, wanted.base.as_ref()).await?;
        blocking(move || {
            let _visit = visit; // given up once the agent has its pin, or has failed
            job.build()
        })
        .await
    }
}

#[async_trait::async_trait]
impl Worktrees for GitWorktrees {
    async fn add(&self, agent: &AgentId, wanted: Option<&Checkout>) -> Result<Worktree, Error> {
        if let Some(wanted) = wanted {
            return self.check_out(agent, wanted).await;
        }
        let turn = self.turns.take(agent).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _turn = turn;
            Ok(worktree(folders.claim(&agent).map_err(folder_failed)?))
        })
        .await
    }

    async fn rescue(&self, agent: &AgentId, repository: &Alias) -> Result<Rescue, Error> {
        let cache = self.cache(repository)?;
        let results = self.results(repository);
        let turn = self.turns.take(agent).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        let (clock, most) = (self.clock.clone(), self.most);
        blocking(move || {
            let _turn = turn;
            rescue::rescue(&rescue::Scene {
                agent: &agent,
                agents: &folders.agents_root(),
                cache_objects: &cache.objects(),
                results: &Results::ensure(&results, &cache.objects())?,
                ignored: cache.repository().ignored,
                most,
                now: clock.now(),
            })
        })
        .await
    }

    async fn remove(&self, agent: &AgentId, repository: Option<&Alias>) -> Result<(), Error> {
        // A repository that is no longer configured must not keep the folder for ever.
        let cache = repository.and_then(|alias| self.caches.get(alias).cloned());
        let turn = self.turns.take(agent).await;
        let visit = match &cache {
            Some(cache) => Some(cache.visit().await),
            None => None,
        };
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _held = (turn, visit);
            folders.discard(&agent).map_err(folder_failed)?;
            cache.map_or(Ok(()), |cache| cache.unpin(&agent))
        })
        .await
    }

    async fn used(&self, agent: &AgentId, enough: u64) -> Result<u64, Error> {
        let one_at_a_time = self.counting.clone().lock_owned().await;
        let path = self.folders.agent(agent);
        blocking(move || {
            let _one_at_a_time = one_at_a_time;
            match Folder::open(&path) {
                Ok(folder) => usage::of(folder, enough),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
                Err(error) => Err(error),
            }
            .map_err(system_failed("count what the agent's folder uses"))
        })
        .await
    }

    async fn collect(&self, most: u64) -> Result<Collected, Error> {
        let _one_at_a_time = self.collecting.lock().await;
        let collection = Collection {
            folders: &self.folders,
            git: &self.git,
            caches: &self.caches,
        };
        collection.run(most).await
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        let folders = self.folders.clone();
        blocking(move || folders.agents().map_err(folder_failed)).await
    }

    async fn result(
        &self,
        agent: &AgentId,
        repository: &Alias,
        detail: Detail,
        to: mpsc::Sender<ResultItem>,
    ) -> Result<(), Error> {
        let cache = self.cache(repository)?;
        let (results, agent) = (self.results(repository), agent.clone());
        blocking(move || {
            let results = Results::ensure(&results, &cache.objects())?;
            report::send(&results, &agent, detail, &to)
        })
        .await
    }
}

/// One checkout, with the agent's turn held until it is done.
struct Job {
    agent: AgentId,
    base: Option<BaseRef>,
    folders: Folders,
    cache: Arc<Cache>,
    results: PathBuf,
    _turn: Turn,
}

impl Job {
    /// What is there, if it is whole. Rubble of an attempt that was cut short is cleared: no agent
    /// ran in it.
    fn existing(&self) -> Result<Option<Worktree>, Error> {
        if !self.folders.agent(&self.agent).exists() {
            return Ok(None);
        }
        let results = Results::ensure(&self.results, &self.cache.objects())?;
        let Some(base) = results.base(&self.agent)? else {
            self.folders.discard(&self.agent).map_err(folder_failed)?;
            return Ok(None);
        };
        let folder = self.folders.claim(&self.agent).map_err(folder_failed)?;
        Ok(Some(self.describe(folder, base)))
    }

    fn build(self) -> Result<Worktree, Error> {
        let results = Results::ensure(&self.results, &self.cache.objects())?;
        results.forget_base(&self.agent)?;
        let base = self.cache.pin(&self.agent, self.base.as_ref())?;
        let folder = self.folders.claim(&self.agent).map_err(folder_failed)?;
        checkout::build(&self.agent, &folder, base, &self.cache.objects())?;
        results.set_base(&self.agent, base)?;
        Ok(self.describe(folder, base))
    }

    fn describe(&self, folder: AgentFolder, base: git2::Oid) -> Worktree {
        Worktree {
            read_only: vec![self.cache.objects()],
            base_commit: Some(base.to_string()),
            ..worktree(folder)
        }
    }
}

fn worktree(folder: AgentFolder) -> Worktree {
    Worktree {
        path: folder.worktree,
        home: folder.home,
        owner: folder.owner,
        folder: folder.path,
        read_only: Vec::new(),
        base_commit: None,
    }
}

/// Runs what blocks on a thread of its own; it goes on to its end if the caller gives up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(system_failed("finish a step of git"))?
}

pub(super) fn folder_failed(error: folders::Error) -> Error {
    Error::System {
        step: "work on the agent's folder",
        source: io::Error::other(error),
    }
}
