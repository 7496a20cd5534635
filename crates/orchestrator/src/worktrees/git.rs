//! Working trees by git: a shared read-only cache, a private repository per agent, and a clean
//! repository of rescued work.
//!
//! It wires the parts and keeps the order of steps; each part says what it does itself.

use super::{
    Checkout, Collected, Detail, Error, Most, Repository, Rescue, ResultItem, Worktree, Worktrees,
    cache::{Cache, Visit},
    collect::Collection,
    fetch::Git,
    handle::Folder,
    job::{Job, worktree},
    leftovers, report, rescue,
    results::Results,
    system_failed, usage,
};
use crate::folders::{self, Folders};
use crate::turns::Turns;
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Alias, clock::Clock};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
};
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

    /// Deletes something of an agent's, and then forgets what it borrows.
    async fn clear(
        &self,
        agent: &AgentId,
        repository: Option<&Alias>,
        delete: fn(&Folders, &AgentId) -> Result<(), folders::Error>,
    ) -> Result<(), Error> {
        let caches = self.borrowed_from(repository);
        let turn = self.turns.take(agent).await;
        let visits = visit_all(&caches).await;
        let (folders, agent) = (self.folders.clone(), agent.clone());
        blocking(move || {
            let _held = (turn, visits);
            delete(&folders, &agent).map_err(folder_failed)?;
            caches.iter().try_for_each(|cache| cache.unpin(&agent))
        })
        .await
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
        let visit = cache.visit().await;
        cache.refresh(&self.git, wanted.base.as_ref()).await?;
        failpoint!("worktree.fetched");
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
        self.clear(agent, repository, |folders, agent| {
            folders.discard(agent)?;
            failpoint!("worktree.discarded");
            Ok(())
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
        self.clear(agent, repository, |folders, agent| {
            folders.discard_aside(agent)?;
            failpoint!("quarantine.expired");
            Ok(())
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

/// Keeps these caches where they are.
async fn visit_all(caches: &[Arc<Cache>]) -> Vec<Visit> {
    let mut visits = Vec::with_capacity(caches.len());
    for cache in caches {
        visits.push(cache.visit().await);
    }
    visits
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
