//! An agent's working tree, and the rescue of what it leaves there.

use mosaic_common::agent::BaseRef;
use mosaic_common::{AgentId, Alias};
use std::{fmt, path::PathBuf, time::Duration};
use tokio::sync::mpsc;

mod cache;
mod checkout;
mod collect;
mod fetch;
mod flight;
mod git;
mod handle;
mod job;
mod leftovers;
mod maintain;
mod report;
mod repository;
mod rescue;
mod results;
mod usage;

pub use git::GitWorktrees;
pub use repository::{Ignored, InvalidRepository, Repository, Source};
pub use rescue::Most;

/// What a spoke needs from git, and nothing more.
#[async_trait::async_trait]
pub trait Worktrees: fmt::Debug + Send + Sync {
    /// Ensures the agent's folder, with a private repository and a worktree of it at `base`;
    /// without a repository, with an empty folder to work in. Succeeds if it is there.
    ///
    /// # Errors
    /// The step that failed; [`remove`](Self::remove) then clears what there is of it.
    async fn add(&self, agent: &AgentId, wanted: Option<&Checkout>) -> Result<Worktree, Error>;

    /// Commits everything the agent left to its rescue ref. If its folder is gone and the ref is
    /// there, returns what the ref holds. Never call it while the agent may run.
    ///
    /// # Errors
    /// [`Error::NoRescue`] if the agent never had a working tree, so that nothing can be lost;
    /// else the step that failed. Nothing was removed.
    async fn rescue(&self, agent: &AgentId, repository: &Alias) -> Result<Rescue, Error>;

    /// Removes the agent's folder, and what it borrows from its repository, or from any if none is
    /// named. Succeeds if there is nothing. Only call it after `rescue`.
    ///
    /// # Errors
    /// The step that failed; it may be called again.
    async fn remove(&self, agent: &AgentId, repository: Option<&Alias>) -> Result<(), Error>;

    /// Moves the folder of an agent whose work cannot be rescued to where it stays, and says
    /// where. What it borrows stays too. Succeeds if it is there already.
    ///
    /// # Errors
    /// The step that failed; it may be called again.
    async fn quarantine(&self, agent: &AgentId) -> Result<PathBuf, Error>;

    /// Deletes what is in quarantine of an agent. Succeeds if there is nothing.
    ///
    /// # Errors
    /// The step that failed; it may be called again.
    async fn expire(&self, agent: &AgentId, repository: Option<&Alias>) -> Result<(), Error>;

    /// The repository that an agent started from, as far as the spoke's own refs tell; `None` if it
    /// has none.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn origin(&self, agent: &AgentId) -> Result<Option<Alias>, Error>;

    /// Bytes of the disk that the agent's folder uses, counted until they are more than `enough`;
    /// 0 if there is none. The agent may run meanwhile. One count at a time.
    ///
    /// # Errors
    /// If the folder cannot be read.
    async fn used(&self, agent: &AgentId, enough: u64) -> Result<u64, Error>;

    /// Puts together what many fetches have left in the repositories' caches, and lets go of those
    /// that nobody uses, the longest unused first, until all are at most `most` bytes together.
    /// Rescued work stays whole. A spawn waits for a rename at most. What could not be done is
    /// logged, and tried at the next call.
    ///
    /// # Errors
    /// If it is not known what there is, or what nobody uses could not be deleted.
    async fn collect(&self, most: u64) -> Result<Collected, Error>;

    /// Every agent that has a folder, or borrows from a repository.
    ///
    /// # Errors
    /// If the disk could not be asked: never an empty list instead.
    async fn list(&self) -> Result<Vec<AgentId>, Error>;

    /// Sends what a rescued agent left: summary, commits, then what else is wanted.
    /// Ends early, without an error, when the receiver is gone.
    ///
    /// # Errors
    /// [`Error::NoRescue`] if there is no rescue ref.
    async fn result(
        &self,
        agent: &AgentId,
        repository: &Alias,
        detail: Detail,
        to: mpsc::Sender<ResultItem>,
    ) -> Result<(), Error>;
}

/// What to check out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The repository's alias.
    pub repository: Alias,
    /// Where to start; `None`: its default branch.
    pub base: Option<BaseRef>,
}

/// Where an agent works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// The agent's own folder; everything it may write.
    pub folder: PathBuf,
    /// The working tree, inside it.
    pub path: PathBuf,
    /// Its home, inside it.
    pub home: PathBuf,
    /// The user that owns it; `None`: the spoke's own.
    pub owner: Option<u32>,
    /// Folders it must be able to read: the cache's objects.
    pub read_only: Vec<PathBuf>,
    /// The commit it starts from, hexadecimal; `None` without a repository.
    pub base_commit: Option<String>,
}

/// What was rescued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    /// The commit that holds everything, hexadecimal.
    pub commit: String,
    /// The commit the agent started from, hexadecimal.
    pub base_commit: String,
    /// Files left out because the repository ignores them.
    pub ignored_files: u64,
    /// Things left out because git cannot hold them: sockets, devices, nested repositories' gitdirs.
    pub skipped_files: u64,
}

/// What was done about the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Caches whose packs were put together.
    pub consolidated: usize,
    /// Caches that are gone.
    pub evicted: usize,
    /// Bytes of those that are left.
    pub bytes: u64,
    /// The longest time that a spawn could have had to wait for one of them to go.
    pub longest_hold: Duration,
}

/// What is wanted besides summary and commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Summary,
    /// The patch from base to rescue commit.
    Patch,
    /// A git bundle of the commits between the two.
    Bundle,
}

/// A piece of a result, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultItem {
    /// First.
    Summary(Summary),
    /// Newest first.
    Commit(Commit),
    /// At most [`CHUNK`](mosaic_common::proto::CHUNK) bytes.
    Patch(bytes::Bytes),
    /// At most [`CHUNK`](mosaic_common::proto::CHUNK) bytes.
    Bundle(bytes::Bytes),
}

/// What changed, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Where the agent started.
    pub base_commit: String,
    /// What holds all its work.
    pub rescue_commit: String,
    /// Files that differ between the two.
    pub files_changed: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Commits between the two.
    pub commits: u64,
}

/// One commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Hexadecimal.
    pub id: String,
    /// First line of its message.
    pub subject: String,
    /// Its author's name.
    pub author: String,
    /// Whether the spoke made it of what was left uncommitted.
    pub rescue: bool,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no such repository.
    #[error("there is no repository {0}")]
    UnknownRepository(Alias),
    /// The repository has no such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit {base}")]
    UnknownBase {
        /// Which repository.
        repository: Alias,
        /// What was asked for.
        base: String,
    },
    /// There is no rescued work of this agent.
    #[error("there is no rescued work of {0}")]
    NoRescue(AgentId),
    /// What the agent left is in quarantine.
    #[error("what {0} left is in quarantine")]
    Quarantined(AgentId),
    /// The repository could not be fetched.
    #[error("cannot fetch {repository}: {detail}")]
    Fetch {
        /// Which.
        repository: Alias,
        /// What git said, without credentials.
        detail: String,
    },
    /// More was left than is kept.
    #[error("what the agent left is larger than {limit} {unit}")]
    TooLarge {
        /// How much is kept.
        limit: u64,
        /// `bytes` or `files`.
        unit: &'static str,
    },
    /// A step with git failed.
    #[error("cannot {step}")]
    Git {
        /// What was tried.
        step: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A step with the operating system failed.
    #[error("cannot {step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether trying again can only come to the same.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Quarantined(_) => true,
            Self::UnknownRepository(_)
            | Self::UnknownBase { .. }
            | Self::NoRescue(_)
            | Self::Fetch { .. }
            | Self::Git { .. }
            | Self::System { .. } => false,
        }
    }
}

/// Names a step with git that failed.
fn git_failed(step: &'static str) -> impl FnOnce(git2::Error) -> Error {
    move |source| Error::Git {
        step,
        source: Box::new(source),
    }
}

/// Names a step with the operating system that failed.
fn system_failed<E: Into<std::io::Error>>(step: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error::System {
        step,
        source: source.into(),
    }
}
