//! Keeps what the spoke itself puts on the disk within its bounds: the outputs of ended agents, and
//! the repositories' caches. It works beside the agents, and nobody waits for it.

use crate::config::Disk;
use crate::disk::Room;
use crate::folders::Folders;
use crate::lifecycle::Agents;
use crate::output;
use crate::worktrees::Collected;
use mosaic_common::in_full;
use std::time::Duration;
use tracing::{info, warn};

/// How often. In that time a spoke fetches a few repositories and ends some dozens of agents, and a
/// look costs a few reads: `free_bytes` is there for what is faster.
const EVERY: Duration = Duration::from_secs(600);

/// Looks, now and then for ever.
pub(crate) async fn keep(agents: Agents, folders: Folders, bounds: Disk) {
    let room = Room::new(folders.data(), bounds.free_bytes);
    loop {
        trim_outputs(&agents, &folders, bounds.output_bytes).await;
        // A cache only saves time. Where there is no room, every one goes that nobody uses.
        let caches = if room.is_short() {
            0
        } else {
            bounds.cache_bytes
        };
        match agents.deps().worktrees.collect(caches).await {
            Ok(Collected {
                consolidated: 0,
                evicted: 0,
                ..
            }) => {}
            Ok(collected) => info!(?collected, "caches were collected"),
            Err(error) => warn!(error = %in_full(&error), "caches could not be collected"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn trim_outputs(agents: &Agents, folders: &Folders, most: u64) {
    let (agents, root) = (agents.clone(), folders.output_root());
    // What has no agent's name is not ours to drop.
    let alive = move |name: &str| {
        name.parse()
            .map_or(true, |agent| agents.watch(&agent).is_some())
    };
    let trimmed = tokio::task::spawn_blocking(move || output::trim(&root, most, alive)).await;
    match trimmed {
        Ok(Ok(0)) => {}
        Ok(Ok(dropped)) => info!(dropped, "the oldest outputs of ended agents were dropped"),
        Ok(Err(error)) => warn!(error = %in_full(&error), "outputs could not be dropped"),
        Err(error) => warn!(error = %in_full(&error), "outputs could not be looked at"),
    }
}
