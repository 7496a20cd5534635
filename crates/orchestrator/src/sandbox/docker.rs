//! Agents in containers, by the Docker engine's API.
//!
//! A container is hardened as `container` says, and its first process is our own: it is told
//! what to start on standard input, so that no secret ever stands in the engine's records, and
//! reports output and the true ending to the engine's log. The container, its labels and its log
//! are all there is to know, and outlive the spoke.
//!
//! What carries another owner's labels is never touched.

mod begin;
mod container;
mod ending;
mod engine;
mod follow;
mod network;
mod probe;
mod seen;
mod stop;

use super::supervise::Frame;
use super::{Ending, Error, Removed, Sandbox, SandboxSpec};
use crate::config::Docker as Settings;
use crate::folders::Folders;
use crate::turns::Turns;
use begin::begin;
use container::Site;
use engine::{Created, Engine};
use follow::{Follower, Progress};
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Alias};
use seen::{Phase, Seen};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, sleep, timeout};

/// Its name.
pub(crate) const NAME: &str = "docker";

/// How long the program may take to run once its container was started. Engines take a third of
/// a second; a machine that is out of memory takes its time.
const START: Duration = Duration::from_secs(30);

/// How long the last of the log is waited for once the container has stopped.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How often a container that comes or goes is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Every agent with a container of the spoke that has this data folder, running or not. For
/// whoever looks from outside; it asks no spoke.
///
/// # Errors
/// If the engine cannot be asked: never an empty list instead.
pub async fn agents_of(socket: &Path, data: &Path) -> Result<Vec<AgentId>, String> {
    let engine = Engine::connect(socket)?;
    let agents = engine
        .list(&container::labels_of(data), container::AGENT)
        .await;
    let agents = agents.map_err(|error| mosaic_common::in_full(&error))?;
    Ok(agents
        .iter()
        .filter_map(|agent| agent.parse().ok())
        .collect())
}

/// What there is of an agent.
enum Found {
    /// A container that was told what to start, or is being told.
    Told,
    /// One that an earlier life of this spoke left before it was told: nothing ran in it.
    Untold,
    /// None that can be seen.
    Nothing,
}

/// Agents in containers.
#[derive(Debug)]
pub struct Docker {
    name: Alias,
    site: Site,
    engine: Engine,
    follower: Follower,
    /// One call at a time for each agent.
    turns: Turns,
    /// Held while a container is on its way to the network, so that nobody removes it before.
    network: RwLock<()>,
}

impl Docker {
    /// Tries the engine out: it must answer, have the image, see the data folder at the same
    /// path, and be able to run `program`, which plays the first process, as an agent's user.
    ///
    /// # Errors
    /// Why it cannot be used here, for people.
    pub async fn probe(
        owner: &Alias,
        settings: &Settings,
        folders: &Folders,
        program: PathBuf,
    ) -> Result<Self, String> {
        let engine = Engine::connect(&settings.socket)?;
        let site = Site::new(owner, settings, folders, program);
        probe::try_out(&engine, &site, settings, folders.first_owner()).await?;
        Ok(Self {
            name: NAME.parse().map_err(|error| format!("{error}"))?,
            follower: Follower::new(engine.clone(), folders.clone()),
            site,
            engine,
            turns: Turns::default(),
            network: RwLock::default(),
        })
    }

    async fn begin(&self, spec: &SandboxSpec) -> Result<Created, Error> {
        let _on_its_way = self.network.read().await;
        begin(&self.engine, &self.site, spec).await
    }

    /// Removes the network unless something is on it, or on its way there.
    async fn leave_network(&self) {
        if let Ok(_nobody_comes) = self.network.try_write() {
            let name = self.site.network();
            self.engine.remove_unused_network(&name).await;
        }
    }

    /// Looks at a container that stands in the way of a new one.
    async fn found(&self, agent: &AgentId) -> Result<Found, Error> {
        let name = self.site.container_name(agent);
        let Some(seen) = self.engine.inspect(&name).await? else {
            return Ok(Found::Nothing);
        };
        if !self.site.owns(&seen, agent) {
            return Err(Error::Start(format!("{name} belongs to somebody else")));
        }
        if self.site.is_of_this_life(&seen) {
            return Ok(Found::Told);
        }
        let word = match seen.phase {
            Phase::Created => Some(Frame::Untold),
            _ => self.first_word(agent, &seen).await,
        };
        Ok(match word {
            None | Some(Frame::Untold) => Found::Untold,
            Some(_) => Found::Told,
        })
    }

    /// What the container's first process said first; `None` if it said nothing in time.
    async fn first_word(&self, agent: &AgentId, seen: &Seen) -> Option<Frame> {
        let max = self.site.output_max(seen);
        let mut progress = self
            .follower
            .follow(agent, &self.site.container_name(agent), max);
        let word = progress.wait_for(|progress| progress.first.is_some() || progress.ended);
        let word = timeout(START, word).await.ok()?.ok()?;
        word.first.clone()
    }

    /// Waits until the program runs.
    async fn runs(&self, spec: &SandboxSpec) -> Result<(), Error> {
        let name = self.site.container_name(&spec.agent);
        let Some(seen) = self.engine.inspect(&name).await? else {
            return Err(Error::Start(
                "its container was removed while it started".to_owned(),
            ));
        };
        match self.first_word(&spec.agent, &seen).await {
            Some(Frame::Runs) => Ok(()),
            Some(Frame::Failed(why)) => Err(Error::Start(why)),
            Some(_) => Err(Error::Start("it was not told what to start".to_owned())),
            None => Err(Error::Start(self.complaint(&spec.agent, &name).await)),
        }
    }

    /// Why a container said nothing, as far as anybody knows.
    async fn complaint(&self, agent: &AgentId, name: &str) -> String {
        let said = self.follower.complaint(agent);
        let seen = self.engine.inspect(name).await.ok().flatten();
        match (said, seen) {
            (Some(said), _) => said,
            (None, Some(seen)) if !seen.error.is_empty() => seen.error,
            (None, Some(seen)) => format!("the container says nothing ({:?})", seen.phase),
            (None, None) => "its container is gone".to_owned(),
        }
    }

    async fn seen(&self, agent: &AgentId) -> Result<Option<Seen>, Error> {
        let seen = self
            .engine
            .inspect(&self.site.container_name(agent))
            .await?;
        Ok(seen.filter(|seen| self.site.owns(seen, agent)))
    }

    fn follow(&self, agent: &AgentId, seen: &Seen) -> watch::Receiver<Progress> {
        let name = self.site.container_name(agent);
        self.follower
            .follow(agent, &name, self.site.output_max(seen))
    }
}

#[async_trait::async_trait]
impl Sandbox for Docker {
    fn name(&self) -> Alias {
        self.name.clone()
    }

    async fn ensure(&self, spec: &SandboxSpec) -> Result<(), Error> {
        let _turn = self.turns.take(&spec.agent).await;
        let begun = Instant::now();
        while self.begin(spec).await? == Created::Exists {
            match self.found(&spec.agent).await? {
                Found::Told => break,
                Found::Untold => {
                    let name = self.site.container_name(&spec.agent);
                    // one step: a begin that found one has made none
                    self.engine.remove(&name).await?;
                    failpoint!("docker.untold_removed");
                    self.follower.forget(&spec.agent);
                }
                Found::Nothing if begun.elapsed() > START => {
                    let why = "its container's name is taken, and there is no such container";
                    return Err(Error::Start(why.to_owned()));
                }
                Found::Nothing => sleep(LOOK).await, // one is being made, or removed
            }
        }
        self.runs(spec).await
    }

    async fn wait(&self, agent: &AgentId) -> Result<Ending, Error> {
        let seen = self.seen(agent).await?;
        let seen = seen.ok_or_else(|| Error::Missing(agent.clone()))?;
        let mut progress = self.follow(agent, &seen);
        let last = match progress.wait_for(|progress| progress.ended).await {
            Ok(progress) => progress.last.clone(),
            Err(_) => None, // it was removed meanwhile
        };
        let seen = self.seen(agent).await?;
        Ok(ending::ending(last, seen.as_ref()))
    }

    async fn remove(&self, agent: &AgentId, grace: Duration) -> Result<Removed, Error> {
        let _turn = self.turns.take(agent).await;
        let name = self.site.container_name(agent);
        let seen = self.seen(agent).await.map_err(Error::unproved)?;
        let Some(seen) = seen else {
            self.follower.forget(agent);
            return Ok(Removed::Missing);
        };
        let mut progress = self.follow(agent, &seen);
        let stopped = stop::stop(&self.engine, &name, seen, grace).await;
        let stopped = stopped.map_err(Error::unproved)?;
        failpoint!("docker.stopped");
        // What it wrote last is worth a moment, not the removal.
        drop(timeout(LAST_WORDS, progress.wait_for(|progress| progress.ended)).await);
        failpoint!("docker.heard");
        self.engine.remove(&name).await?;
        failpoint!("docker.removed");
        self.follower.forget(agent);
        self.leave_network().await;
        failpoint!("docker.network_removed");
        Ok(Removed::Dead(ending::proof(&stopped)))
    }

    async fn list(&self) -> Result<Vec<AgentId>, Error> {
        let agents = self
            .engine
            .list(&self.site.labels(), container::AGENT)
            .await?;
        if agents.is_empty() {
            self.leave_network().await; // a crash may have come between it and its first container
        }
        Ok(agents
            .iter()
            .filter_map(|agent| agent.parse().ok())
            .collect())
    }
}
