//! Keeps the repositories' caches small: puts packs together, and lets go of caches nobody uses.
//!
//! # Flow of an eviction
//! 1. nobody uses the cache: no spawn is under way and no agent that is there has a pin in it;
//! 2. rescued work that borrows from it gets copies of its own, and is verified without the cache;
//! 3. the cache is renamed into the trash, if 1 still holds and nobody has come since;
//! 4. it is deleted there.
//!
//! # Guarantees
//! A spawn waits for 3 alone, which is a rename. A crash between two steps leaves an ordinary state:
//! rescued work that has copies of what it also borrows, or something in the trash.

use super::git::{blocking, folder_failed};
use super::{
    Collected, Error, cache, cache::Cache, fetch::Git, handle::Folder, results::Results,
    system_failed, usage,
};
use crate::folders::Folders;
use mosaic_common::{Alias, failpoint, in_full};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;
use tracing::{info, warn};

/// How many packs a cache may have before they are put together. Each is looked into for each
/// object that is not in another one, so dozens are slow; each putting together writes them anew.
const PACKS_MAX: usize = 16;

/// What a collection works on.
pub(super) struct Collection<'a> {
    pub(super) folders: &'a Folders,
    pub(super) git: &'a Git,
    pub(super) caches: &'a BTreeMap<Alias, Arc<Cache>>,
}

/// A cache as it was found.
#[derive(Debug)]
struct Found {
    alias: Alias,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Why a cache was not let go of.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error("it is in use")]
    InUse,
    #[error("there is no room for the copies that rescued work needs first")]
    NoRoom,
    #[error("rescued work could not be made whole without it: {0}")]
    Needed(String),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Collection<'_> {
    /// Collects until all caches are at most `most` bytes, as far as that can be.
    ///
    /// # Errors
    /// If it is not known what there is.
    pub(super) async fn run(&self, most: u64) -> Result<Collected, Error> {
        let mut collected = Collected::default();
        for cache in self.caches.values() {
            match self.consolidate(cache.path()).await {
                Ok(true) => collected.consolidated += 1,
                Ok(false) => {}
                Err(why) => {
                    warn!(repository = %cache.path().display(), why, "packs stay as they are");
                }
            }
        }
        let folders = self.folders.clone();
        let mut found = blocking(move || list(&folders)).await?;
        found.sort_by_key(|cache| cache.used);
        let mut sum: u64 = found.iter().map(|cache| cache.bytes).sum();
        for cache in found {
            if sum <= most {
                break;
            }
            match self.evict(&cache).await {
                Ok(held) => {
                    sum -= cache.bytes;
                    collected.evicted += 1;
                    collected.longest_hold = collected.longest_hold.max(held);
                    info!(repository = %cache.alias, bytes = cache.bytes, "a cache that nobody used is gone");
                }
                Err(Kept::InUse) => {}
                Err(why) => warn!(repository = %cache.alias, why = %in_full(&why), "a cache stays"),
            }
        }
        collected.bytes = sum;
        // Also what a crash has left there.
        let folders = self.folders.clone();
        blocking(move || folders.bury().map_err(folder_failed)).await?;
        Ok(collected)
    }

    async fn consolidate(&self, cache: &Path) -> Result<bool, String> {
        let packs = match fs::read_dir(cache.join("objects/pack")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            listed => listed.map_err(|error| error.to_string())?,
        };
        let is_pack = |path: PathBuf| path.extension().is_some_and(|end| end == "pack");
        if packs
            .flatten()
            .filter(|entry| is_pack(entry.path()))
            .count()
            <= PACKS_MAX
        {
            return Ok(false);
        }
        self.git.consolidate(cache).await.map(|()| true)
    }

    /// Lets go of one cache; returns for how long a spawn could have had to wait.
    async fn evict(&self, found: &Found) -> Result<Duration, Kept> {
        // One that is not configured has nobody who could begin to use it.
        let cache = self.caches.get(&found.alias);
        let visits = cache.map(|cache| cache.visits());
        if self.is_used(found).await? {
            return Err(Kept::InUse);
        }
        self.free_results(found).await?;
        failpoint!("gc.results_made_whole");
        let begun = Instant::now();
        let nobody = match cache.map(|cache| cache.shut()) {
            Some(None) => return Err(Kept::InUse),
            Some(Some(shut)) => Some(shut),
            None => None,
        };
        if cache.map(|cache| cache.visits()) != visits || self.is_used(found).await? {
            return Err(Kept::InUse);
        }
        let retired = self.folders.retire_cache(&found.path);
        retired.map_err(folder_failed)?;
        failpoint!("gc.cache_retired");
        drop(nobody);
        Ok(begun.elapsed())
    }

    /// Whether an agent that is there borrows from it. A pin without a folder is left over.
    async fn is_used(&self, found: &Found) -> Result<bool, Error> {
        let (folders, path) = (self.folders.clone(), found.path.clone());
        blocking(move || {
            let pinned = cache::pinned(&path)?;
            Ok(pinned.iter().any(|agent| folders.has_work(agent)))
        })
        .await
    }

    /// Makes rescued work of the repository whole without the cache.
    async fn free_results(&self, found: &Found) -> Result<(), Kept> {
        let path = self.folders.results().join(format!("{}.git", found.alias));
        if !path.exists() {
            return Ok(());
        }
        let tips = Results::open(&path)?.tips()?;
        let draft = self.folders.trash().join("cache.draft");
        let packs = std::path::absolute(path.join("objects/pack"));
        let packs = packs.map_err(system_failed("find the results' packs"))?;
        let whole = async || {
            drop(fs::remove_dir_all(&draft)); // ours alone, and no agent has seen it
            self.git.verify_whole(&packs, &tips, &draft).await
        };
        if whole().await.is_ok() {
            return Ok(());
        }
        if !has_room(&path, found.bytes) {
            return Err(Kept::NoRoom);
        }
        failpoint!("gc.verified");
        self.git.copy_borrowed(&path).await.map_err(Kept::Needed)?;
        whole().await.map_err(Kept::Needed)?;
        Results::open(&path)?.sync()?;
        Ok(())
    }
}

/// Every cache there is, those of repositories that are no longer configured, too.
fn list(folders: &Folders) -> Result<Vec<Found>, Error> {
    let failed = || system_failed::<io::Error>("look at the caches");
    let mut caches = Vec::new();
    for entry in fs::read_dir(folders.cache()).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let alias = name
            .to_str()
            .and_then(|name| name.strip_suffix(".git")?.parse().ok());
        let Some(alias) = alias else { continue };
        let path = entry.path();
        let used = entry.metadata().and_then(|found| found.modified());
        let folder = Folder::open(&path).map_err(failed())?;
        caches.push(Found {
            alias,
            bytes: usage::of(folder, u64::MAX).map_err(failed())?,
            used: used.map_err(failed())?,
            path,
        });
    }
    Ok(caches)
}

/// Whether copies of at most `bytes` fit beside what they are copied from, with as much to spare.
fn has_room(path: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(path)
        .is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) / 2 > bytes)
}
