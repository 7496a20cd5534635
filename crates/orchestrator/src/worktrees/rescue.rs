//! Commits everything an agent left to the results, before its folder goes.
//!
//! The agent's repository is never opened as one. Its objects are copied and hashed again, so
//! nothing it says about them counts; its configuration, hooks, links, refs and alternates are not
//! read. Every commit among the objects is kept, whether a ref still names it or not: branches,
//! stashes and what was reset away alike. Then the working tree's files are hashed from handles.

use super::{
    Error, Ignored, Rescue, git_failed,
    handle::Folder,
    results::{Notes, Results},
    system_failed,
};
use git2::{Odb, Oid};
use mosaic_common::AgentId;
use mosaic_common::failpoint;
use std::{io, path::Path};

mod commit;
mod exclude;
mod files;
mod head;
mod history;
mod objects;
mod packs;
mod quota;
mod tree;

pub use quota::Most;
use quota::Quota;

/// What a rescue works on.
pub(super) struct Scene<'a> {
    /// Whose work.
    pub(super) agent: &'a AgentId,
    /// The folder of all agents' folders.
    pub(super) agents: &'a Path,
    /// What the agent borrowed from.
    pub(super) cache_objects: &'a Path,
    /// Where the work goes.
    pub(super) results: &'a Results,
    /// What to do with ignored files.
    pub(super) ignored: Ignored,
    /// How much is kept.
    pub(super) most: Most,
    /// The time of the rescue.
    pub(super) now: jiff::Timestamp,
}

/// Rescues the agent's work. Blocks.
///
/// # Errors
/// [`Error::NoRescue`] if it never had a whole working tree; else the step that failed.
pub(super) fn rescue(scene: &Scene<'_>) -> Result<Rescue, Error> {
    let results = scene.results;
    let Some(base) = results.base(scene.agent)? else {
        return Err(Error::NoRescue(scene.agent.clone()));
    };
    let agents = Folder::open(scene.agents).map_err(system_failed("open the agents' folder"))?;
    let folder = match agents.folder(scene.agent.as_str().as_bytes()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return earlier(scene, base),
        Err(error) => return Err(system_failed("open the agent's folder")(error)),
    };
    let mut quota = Quota::new(scene.most);
    let cache = cache(scene.cache_objects).map_err(git_failed("open the cache's objects"))?;
    let mut notes = Notes::default();
    let repository = folder.folder(super::checkout::REPOSITORY.as_bytes()).ok();
    let mut commits = Vec::new();
    let mut head = None;
    if let Some(repository) = &repository {
        commits = objects::import(repository, results, &mut quota, &mut notes)?;
        head = head::read(repository, scene.agent);
    }
    failpoint!("rescue.imported");
    let history = history::read(results.git(), &cache, &commits)
        .map_err(git_failed("read the agent's commits"))?;
    let head = head
        .filter(|head| history.holds(*head, &cache))
        .unwrap_or(base);
    let left = files::Walk {
        git: results.git(),
        head,
        ignored: scene.ignored,
        exclude: repository.as_ref().and_then(exclude::of_repository),
        quota: &mut quota,
        notes: &mut notes,
    };
    let tree = left.run(&folder)?;
    failpoint!("rescue.hashed");
    let (rescue, made) = commit::write(scene, head, tree, history.tips(head))
        .map_err(git_failed("commit what the agent left"))?;
    failpoint!("rescue.committed");
    notes.made = made.iter().map(ToString::to_string).collect();
    results.set_rescued(scene.agent, rescue, &notes)?;
    Ok(describe(base, rescue, &notes))
}

/// What an earlier rescue found, once the folder is gone.
fn earlier(scene: &Scene<'_>, base: Oid) -> Result<Rescue, Error> {
    let rescued = scene.results.rescued(scene.agent)?;
    let rescue = rescued.ok_or_else(|| Error::NoRescue(scene.agent.clone()))?;
    Ok(describe(base, rescue, &scene.results.notes(scene.agent)?))
}

fn describe(base: Oid, rescue: Oid, notes: &Notes) -> Rescue {
    Rescue {
        commit: rescue.to_string(),
        base_commit: base.to_string(),
        ignored_files: notes.ignored_files,
        skipped_files: notes.skipped_files,
    }
}

/// The cache's objects alone: whatever is among them is upstream's, whole, and not the agent's work.
fn cache(objects: &Path) -> Result<Odb<'static>, git2::Error> {
    let cache = Odb::new()?;
    let path = objects.to_str();
    cache
        .add_disk_alternate(path.ok_or_else(|| git2::Error::from_str("its path is not UTF-8"))?)?;
    Ok(cache)
}
