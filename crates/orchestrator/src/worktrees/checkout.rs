//! Builds an agent's private repository and its working tree, in a folder no agent has used yet.
//!
//! It runs before the agent does, and never again: afterwards no git of the host's opens either.

use super::{Error, git_failed, system_failed};
use crate::folders::AgentFolder;
use git2::{Index, IndexTime, Oid, Repository, RepositoryInitOptions, WorktreeAddOptions};
use mosaic_common::AgentId;
use mosaic_common::failpoint;
use std::{
    fs::{self, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, fs::lchown},
    path::{Path, PathBuf},
};

/// The private repository's folder, inside the agent's.
pub(super) const REPOSITORY: &str = "repo.git";

/// What the private repository starts with. All of it is the agent's to change.
const SETTINGS: [(&str, &str); 7] = [
    ("user.name", "Mosaic agent"),
    ("user.email", "agent@mosaic.invalid"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.autocrlf", "false"),
    ("core.logAllRefUpdates", "true"),
    ("commit.gpgSign", "false"),
];

/// Builds repository and working tree at `base` in the agent's folder.
///
/// # Errors
/// The step that failed; the folder is then rubble.
pub(super) fn build(
    agent: &AgentId,
    folder: &AgentFolder,
    base: Oid,
    cache_objects: &Path,
) -> Result<(), Error> {
    let path = folder.path.join(REPOSITORY);
    let private = make_repository(&path, cache_objects)?;
    failpoint!("checkout.repository_made");
    let commit = private.find_commit(base);
    let commit = commit.map_err(git_failed("find the base"))?;
    let branch = private
        .branch(&format!("agent/{agent}"), &commit, false)
        .map_err(git_failed("make the agent's branch"))?;
    failpoint!("checkout.branch_made");
    // libgit2 makes the folder itself; the empty one only reserved its name.
    fs::remove_dir(&folder.worktree).map_err(system_failed("make room for the working tree"))?;
    failpoint!("checkout.room_made");
    let mut options = WorktreeAddOptions::new();
    options.reference(Some(branch.get()));
    private
        .worktree(agent.as_str(), &folder.worktree, Some(&options))
        .map_err(git_failed("check out the working tree"))?;
    failpoint!("checkout.files_written");
    if let Some(owner) = folder.owner {
        give(&folder.path, owner).map_err(system_failed("give the folder to the agent's user"))?;
        failpoint!("checkout.given");
        let index = path.join("worktrees").join(agent.as_str()).join("index");
        refresh(&index, &folder.worktree)?;
        failpoint!("checkout.index_refreshed");
        lchown(&index, Some(owner), Some(owner))
            .map_err(system_failed("give the index to the agent's user"))?;
    }
    Ok(())
}

fn make_repository(path: &Path, cache_objects: &Path) -> Result<Repository, Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    let made = Repository::init_opts(path, &options);
    let made = made.map_err(git_failed("make the private repository"))?;
    let borrowed =
        std::path::absolute(cache_objects).map_err(system_failed("find the cache's objects"))?;
    let mut line = borrowed.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    let info = path.join("objects/info");
    fs::create_dir_all(&info).map_err(system_failed("let the private repository borrow"))?;
    failpoint!("checkout.info_made");
    fs::write(info.join("alternates"), line)
        .map_err(system_failed("let the private repository borrow"))?;
    failpoint!("checkout.alternates_written");
    drop(made);
    // Opened again: what it borrows from is read once.
    let opened = Repository::open_bare(path);
    let opened = opened.map_err(git_failed("open the private repository"))?;
    let mut config = opened
        .config()
        .map_err(git_failed("set up the private repository"))?;
    for (key, value) in SETTINGS {
        let set = config.set_str(key, value);
        set.map_err(git_failed("set up the private repository"))?;
    }
    drop(config);
    Ok(opened)
}

/// Gives a folder and all that is in it to a user. Links are given away themselves.
fn give(folder: &Path, owner: u32) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                lchown(entry.path(), Some(owner), Some(owner))?;
            }
        }
        // one step: a crash in the middle of a tree is one at its end
        lchown(&folder, Some(owner), Some(owner))?;
    }
    Ok(())
}

/// Notes the files' new owner in the index. Without that, the agent's first `git status` would
/// read every file of the repository again.
fn refresh(index: &Path, worktree: &Path) -> Result<(), Error> {
    let mut entries = Index::open(index).map_err(git_failed("open the index"))?;
    for place in 0..entries.len() {
        let Some(mut entry) = entries.get(place) else {
            continue;
        };
        let path = worktree.join(std::ffi::OsStr::from_bytes(&entry.path));
        let Ok(found) = fs::symlink_metadata(path) else {
            continue;
        };
        if note(&mut entry, &found) {
            let added = entries.add(&entry);
            added.map_err(git_failed("refresh the index"))?;
        }
    }
    entries.write().map_err(git_failed("write the index"))
}

/// Copies what is known of a file into its index entry. Git keeps the low 32 bits of each number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn note(entry: &mut git2::IndexEntry, found: &Metadata) -> bool {
    if found.is_dir() {
        return false;
    }
    entry.ctime = IndexTime::new(found.ctime() as i32, found.ctime_nsec() as u32);
    entry.mtime = IndexTime::new(found.mtime() as i32, found.mtime_nsec() as u32);
    entry.dev = found.dev() as u32;
    entry.ino = found.ino() as u32;
    entry.uid = found.uid();
    entry.gid = found.gid();
    true
}
