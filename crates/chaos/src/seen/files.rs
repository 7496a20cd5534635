//! What lies in the data folder.

use super::{Kind, Thing};
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Folders whose entries are an agent's each, and what an entry is.
const FOLDERS: [(&str, Kind); 5] = [
    ("agents", Kind::Worktree),
    ("run", Kind::RunFolder),
    ("output", Kind::Output),
    ("quarantine", Kind::Quarantine),
    ("trash", Kind::Trash),
];

/// What lies beside the caches for good: git's own configuration and home there.
const SETTLED: [&str; 2] = ["gitconfig", "home"];

/// Looks through the data folder.
pub(super) fn look(data: &Path) -> Result<Vec<Thing>> {
    let mut things = Vec::new();
    for (name, kind) in FOLDERS {
        for entry in names(&data.join(name))? {
            things.push(Thing::new(kind, &format!("{name}/{entry}")));
        }
    }
    for folder in ["results", "cache"] {
        for entry in names(&data.join(folder))? {
            let path = format!("{folder}/{entry}");
            if entry.ends_with(".git") {
                locks(&data.join(&path), &mut things)?;
            } else if !SETTLED.contains(&&*entry) {
                things.push(Thing::new(Kind::Draft, &path));
            }
        }
    }
    Ok(things)
}

/// Names in a folder; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    let names = listed.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Files that git takes as locks, or writes aside, below a repository. What goes while we look is gone.
fn locks(folder: &Path, things: &mut Vec<Thing>) -> Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if name.ends_with(".lock") || name.starts_with("tmp_") {
            let place = path.display().to_string();
            things.push(Thing {
                kind: Kind::Lock,
                agent: None, // nobody may hold one while nothing happens
                place,
            });
        } else if path.is_dir() && !is_loose(&name) {
            locks(&path, things)?;
        }
    }
    Ok(())
}

/// Whether a folder holds loose objects only: there are 256 of them, and they hold no locks.
fn is_loose(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
