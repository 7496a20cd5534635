//! The bare clone of one repository that its agents borrow objects from.
//!
//! Only the spoke writes it; agents read its objects. No object is ever taken out of it: what an
//! agent, or rescued work, borrows stays. As a whole it may go when nobody uses it; who is about to
//! use it visits it first.

use super::{Error, Repository, fetch::Git, flight::Flight, git_failed, system_failed};
use git2::{Oid, Repository as Opened, RepositoryInitOptions};
use mosaic_common::agent::BaseRef;
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Alias};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The refs that keep what agents borrow.
const PINS: &str = "refs/mosaic/bases/";

/// The cache of one repository.
#[derive(Debug)]
pub(super) struct Cache {
    alias: Alias,
    repository: Repository,
    path: PathBuf,
    fetches: Flight<String>,
    /// Held by visitors together, and by whoever takes the whole cache away alone.
    door: Arc<RwLock<()>>,
    visits: AtomicU64,
}

/// The right to use a cache: as long as it is held the cache stays.
#[derive(Debug)]
pub(super) struct Visit(#[allow(dead_code, reason = "held, never read")] OwnedRwLockReadGuard<()>);

impl Cache {
    /// The cache below `root`; nothing is made yet.
    pub(super) fn new(root: &Path, alias: Alias, repository: Repository) -> Self {
        Self {
            path: root.join(format!("{alias}.git")),
            alias,
            repository,
            fetches: Flight::default(),
            door: Arc::default(),
            visits: AtomicU64::new(0),
        }
    }

    /// Begins to use it. Until the agent has its pin, this keeps the cache where it is.
    pub(super) async fn visit(&self) -> Visit {
        let visit = Visit(self.door.clone().read_owned().await);
        self.visits.fetch_add(1, Ordering::SeqCst);
        visit
    }

    /// How many visits there were.
    pub(super) fn visits(&self) -> u64 {
        self.visits.load(Ordering::SeqCst)
    }

    /// Keeps visitors out as long as it is held; `None` if there are any. Never waits.
    pub(super) fn shut(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        self.door.clone().try_write_owned().ok()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the configuration says of it.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The folder of objects that agents borrow from.
    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Brings it up to date, unless what is wanted is a commit that it has: that cannot change.
    /// A failed fetch is an error even if an older state is there: nobody asked for that one.
    ///
    /// # Errors
    /// [`Error::Fetch`] with what git said.
    pub(super) async fn refresh(&self, git: &Git, wanted: Option<&BaseRef>) -> Result<(), Error> {
        if wanted.is_some_and(|base| self.has_commit(base)) {
            return Ok(());
        }
        let fetch = || async {
            make(&self.path).map_err(|error| error.to_string())?;
            failpoint!("cache.made");
            let source = &self.repository.source;
            match git.fetch(source, &self.path).await {
                // Left by a git that was killed. No other one fetches into this repository.
                Err(detail) if detail.contains(".lock': File exists") => {
                    break_locks(&self.path).map_err(|error| error.to_string())?;
                    git.fetch(source, &self.path).await
                }
                outcome => outcome,
            }
        };
        let fetched = self.fetches.join(fetch).await;
        fetched.map_err(|detail| Error::Fetch {
            repository: self.alias.clone(),
            detail,
        })
    }

    fn has_commit(&self, base: &BaseRef) -> bool {
        let Some(id) = base.commit().and_then(|id| Oid::from_str(id).ok()) else {
            return false;
        };
        Opened::open_bare(&self.path).is_ok_and(|cache| cache.find_commit(id).is_ok())
    }

    /// Finds the commit that `wanted` names: a branch, else a tag, else a commit. Pins it for the agent.
    ///
    /// # Errors
    /// [`Error::UnknownBase`] if there is none.
    pub(super) fn pin(&self, agent: &AgentId, wanted: Option<&BaseRef>) -> Result<Oid, Error> {
        let cache = self.open()?;
        let found = match wanted {
            None => commit_of(&cache, "refs/mosaic/default"),
            Some(base) => commit_of(&cache, &format!("refs/heads/{base}"))
                .or_else(|| commit_of(&cache, &format!("refs/tags/{base}")))
                .or_else(|| {
                    Some(
                        cache
                            .find_commit(Oid::from_str(base.commit()?).ok()?)
                            .ok()?
                            .id(),
                    )
                }),
        };
        let commit = found.ok_or_else(|| Error::UnknownBase {
            repository: self.alias.clone(),
            base: wanted.map_or_else(|| "at its default branch".to_owned(), ToString::to_string),
        })?;
        cache
            .reference(&pin_name(agent), commit, true, "")
            .map_err(git_failed("pin the base in the cache"))?;
        self.touch()?;
        Ok(commit)
    }

    /// Every agent with a pin.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) fn borrowers(&self) -> Result<Vec<AgentId>, Error> {
        pinned(&self.path)
    }

    /// Forgets the agent's pin. Succeeds if there is none.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) fn unpin(&self, agent: &AgentId) -> Result<(), Error> {
        if !self.path.exists() {
            return Ok(());
        }
        match self.open()?.find_reference(&pin_name(agent)) {
            Ok(mut pin) => {
                pin.delete().map_err(git_failed("forget the base's pin"))?;
                self.touch()
            }
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(git_failed("look for the base's pin")(error)),
        }
    }

    /// Notes that it was used now.
    fn touch(&self) -> Result<(), Error> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let now = Timestamps {
            last_access: now,
            last_modification: now,
        };
        let touched = rustix::fs::utimensat(CWD, &self.path, &now, AtFlags::empty());
        touched.map_err(system_failed("note the use of the cache"))
    }

    fn open(&self) -> Result<Opened, Error> {
        Opened::open_bare(&self.path).map_err(git_failed("open the cache"))
    }
}

/// The agents that have a pin in the cache at `path`. What is no repository has none.
pub(super) fn pinned(path: &Path) -> Result<Vec<AgentId>, Error> {
    let cache = match Opened::open_bare(path) {
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(git_failed("open the cache"))?,
    };
    let failed = || git_failed("list the pins of the cache");
    let mut agents = Vec::new();
    for pin in cache
        .references_glob(&format!("{PINS}*"))
        .map_err(failed())?
    {
        let pin = pin.map_err(failed())?;
        let name = pin.name().ok().and_then(|name| name.rsplit('/').next());
        agents.extend(name.and_then(|name| name.parse::<AgentId>().ok()));
    }
    Ok(agents)
}

fn pin_name(agent: &AgentId) -> String {
    format!("{PINS}{agent}")
}

/// The commit that a ref leads to, through tags.
fn commit_of(cache: &Opened, name: &str) -> Option<Oid> {
    let found = cache.find_reference(name).ok()?;
    found.peel_to_commit().ok().map(|commit| commit.id())
}

/// Makes an empty cache, or mends one that was left half made.
fn make(path: &Path) -> Result<(), Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false);
    let cache = Opened::init_opts(path, &options).map_err(git_failed("make the cache"))?;
    failpoint!("cache.begun");
    let mut config = cache.config().map_err(git_failed("set up the cache"))?;
    for (key, value) in [("gc.auto", "0"), ("maintenance.auto", "false")] {
        let set = config.set_str(key, value);
        set.map_err(git_failed("set up the cache"))?;
    }
    // Readable for agents' users, writable for none of them, whatever the umask is.
    for part in ["", "objects", "objects/info", "objects/pack"] {
        fs::set_permissions(path.join(part), fs::Permissions::from_mode(0o755))
            .map_err(system_failed("set the modes of the cache"))?;
    }
    Ok(())
}

/// Removes the locks that a killed fetch leaves on branches and tags.
fn break_locks(path: &Path) -> Result<(), Error> {
    let failed = || system_failed::<std::io::Error>("remove a lock that a killed fetch left");
    let mut folders = vec![path.join("refs/heads"), path.join("refs/tags")];
    let mut locks = vec![path.join("packed-refs.lock")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "lock")
            {
                locks.push(path);
            }
        }
    }
    for lock in locks.into_iter().filter(|lock| lock.exists()) {
        fs::remove_file(lock).map_err(failed())?;
    }
    Ok(())
}
