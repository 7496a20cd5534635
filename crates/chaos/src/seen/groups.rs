//! Control groups of agents, in every hierarchy there is.

use super::{Kind, Thing};
use mosaic_common::ids::hex;
use mosaic_common::keys::sha256;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How deep below a hierarchy's root a spoke's group may be.
const DEPTH: usize = 8;

/// Looks for the groups of agents of the spoke with this data folder: they are in one that is named
/// `mosaic-<spoke>-` and the first eight digits of the SHA-256 of the folder's path. A group that goes
/// while we look is gone.
pub(super) fn look(data: &Path) -> Vec<Thing> {
    let end = format!("-{}", &hex(&sha256(data.as_os_str().as_bytes()))[..8]);
    let mut things = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &end, DEPTH, &mut things);
    things
}

fn walk(folder: &Path, end: &str, depth: usize, things: &mut Vec<Thing>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if !kind.is_dir() || depth == 0 {
            continue;
        }
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("mosaic-") && name.ends_with(end) {
            agents(&entry.path(), things);
        } else {
            walk(&entry.path(), end, depth - 1, things);
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
