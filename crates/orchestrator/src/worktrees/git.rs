//! Working trees by git: a shared read-only cache, a private repository per agent, and a clean
//! repository of rescued work.
//!
//! It wires the parts and keeps the order of steps; each part says what it does itself.

use super::{
    Checkout, Detail, Error, Most, Repository, Rescue, ResultItem, Worktree, Worktrees,
    cache::Cache, checkout, fetch::Git, leftovers, report, rescue, results::Results, system_failed,
};
use crate::folders::{self, AgentFolder, Folders};
use crate::turns::{Turn, Turns};
use mosaic_common::agent::BaseRef;
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Alias, clock::Clock};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::mpsc;

/// The working trees of one spoke.
#[derive(Debug)]
pub struct GitWorktrees {
    folders: Folders,
    clock: Arc<dyn Clock>,
    git: Git,
    caches: BTreeMap<Alias, Arc<Cache>>,
    most: Most,
    turns: Turns,
}

impl GitWorktrees {
    /// The working trees in `folders`, which exist and which nobody else works on, of these
    /// repositories. Removes what a crash left there; fetches nothing yet.
    ///
    /// # Errors
    /// If that cannot be done, or what git needs to run cannot be written.
    pub fn new(
        folders: Folders,
        clock: Arc<dyn Clock>,
        repositories: BTreeMap<Alias, Repository>,
    ) -> Result<Self, Error> {
        let root = std::path::absolute(folders.cache()).map_err(system_failed("find the cache"))?;
        leftovers::of_caches(&root)?;
        leftovers::of_results(&folders.results())?;
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

    /// The caches that an agent may borrow from. A repository that is no longer configured must not
    /// keep a folder for ever.
    fn borrowed_from(&self, repository: Option<&Alias>) -> Vec<Arc<Cache>> {
        match repository {
            Some(alias) => self.caches.get(alias).cloned().into_iter().collect(),
            None => self.caches.values().cloned().collect(),
        }
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
        cache.refresh(&self.git, wanted.base.as_ref()).await?;
        failpoint!("worktree.fetched");
        blocking(move || job.build()).await
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
            if folders.is_aside(&agent) {
                return Err(Error::Quarantined(agent));
            }
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
        let caches = self.borrowed_from(repository);
        let turn = self.turns.take(agent).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _turn = turn;
            folders.discard(&agent).map_err(folder_failed)?;
            failpoint!("worktree.discarded");
            caches.iter().try_for_each(|cache| cache.unpin(&agent))
        })
        .await
    }

    async fn quarantine(&self, agent: &AgentId) -> Result<PathBuf, Error> {
        let turn = self.turns.take(agent).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _turn = turn;
            folders.set_aside(&agent).map_err(folder_failed)
        })
        .await
    }

    async fn expire(&self, agent: &AgentId, repository: Option<&Alias>) -> Result<(), Error> {
        let caches = self.borrowed_from(repository);
        let turn = self.turns.take(agent).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _turn = turn;
            folders.discard_aside(&agent).map_err(folder_failed)?;
            failpoint!("quarantine.expired");
            caches.iter().try_for_each(|cache| cache.unpin(&agent))
        })
        .await
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        let folders = self.folders.clone();
        let caches = self.borrowed_from(None);
        blocking(move || {
            let mut agents: BTreeSet<AgentId> = BTreeSet::new();
            for cache in caches {
                agents.extend(cache.borrowers()?);
            }
            agents.retain(|agent| !folders.is_aside(agent));
            agents.extend(folders.agents().map_err(folder_failed)?);
            Ok(agents.into_iter().collect())
        })
        .await
    }

    async fn origin(&self, agent: &AgentId) -> Result<Option<Alias>, Error> {
        let (caches, agent) = (self.caches.clone(), agent.clone());
        let roots: Vec<_> = caches
            .into_iter()
            .map(|(alias, cache)| (self.results(&alias), alias, cache))
            .collect();
        blocking(move || {
            for (results, alias, cache) in roots {
                let started = results.exists() && Results::open(&results)?.base(&agent)?.is_some();
                if started || cache.borrowers()?.contains(&agent) {
                    return Ok(Some(alias));
                }
            }
            Ok(None)
        })
        .await
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
        failpoint!("worktree.base_forgotten");
        let base = self.cache.pin(&self.agent, self.base.as_ref())?;
        failpoint!("worktree.base_pinned");
        let folder = self.folders.claim(&self.agent).map_err(folder_failed)?;
        failpoint!("worktree.folder_claimed");
        checkout::build(&self.agent, &folder, base, &self.cache.objects())?;
        failpoint!("worktree.built");
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
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(system_failed("finish a step of git"))?
}

fn folder_failed(error: folders::Error) -> Error {
    Error::System {
        step: "work on the agent's folder",
        source: std::io::Error::other(error),
    }
}
