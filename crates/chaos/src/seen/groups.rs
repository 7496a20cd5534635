//! Control groups of agents, in every hierarchy there is.

use super::{Kind, Thing};
use std::fs;
use std::path::Path;

/// How deep below a hierarchy's root a spoke's group may be.
const DEPTH: usize = 8;

/// Looks for the groups of a site's agents. A group that goes while we look is gone.
pub(super) fn look(site: &str) -> Vec<Thing> {
    let mut things = Vec::new();
    walk(
        Path::new("/sys/fs/cgroup"),
        &format!("mosaic-{site}"),
        DEPTH,
        &mut things,
    );
    things
}

fn walk(folder: &Path, wanted: &str, depth: usize, things: &mut Vec<Thing>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if !kind.is_dir() || depth == 0 {
            continue;
        }
        if entry.file_name().to_string_lossy() == wanted {
            agents(&entry.path(), things);
        } else {
            walk(&entry.path(), wanted, depth - 1, things);
        }
    }
}

fn agents(folder: &Path, things: &mut Vec<Thing>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            things.push(Thing::new(Kind::Group, &entry.path().display().to_string()));
        }
    }
}
