//! What the processes of a world use: what a system that runs for years must not use more and more of.

use crate::world::{Part, World};
use serde::Serialize;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Open files that may come on top: connections of clients come and go.
const FDS: u64 = 32;
/// Threads that may come on top: the runtime makes them for what blocks, and lets them go later.
const THREADS: u64 = 32;
/// KiB of memory that may come on top: what allocators keep, and rows that are kept for days.
const MEMORY: u64 = 64 * 1024;

/// One process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Open files.
    pub fds: u64,
    /// KiB of memory that are its own, and shared.
    pub memory: u64,
    /// Threads.
    pub threads: u64,
}

/// A world at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Gauge {
    /// The hub.
    pub hub: Usage,
    /// The spoke.
    pub spoke: Usage,
    /// KiB on the disk, of hub and spoke together.
    pub disk: u64,
}

impl Gauge {
    /// Reads everything.
    #[must_use]
    pub fn of(world: &World) -> Self {
        Self {
            hub: world.pid(Part::Hub).map(Usage::of).unwrap_or_default(),
            spoke: world.pid(Part::Spoke).map(Usage::of).unwrap_or_default(),
            disk: disk(world.folder()),
        }
    }

    /// What has grown beyond its bound since `before`, one line each.
    #[must_use]
    pub fn grown(&self, before: &Self) -> Vec<String> {
        let mut grown = self.hub.grown("hub", &before.hub);
        grown.extend(self.spoke.grown("spoke", &before.spoke));
        grown
    }
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let first = line.and_then(|rest| rest.split_whitespace().next());
            first.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd"));
        Self {
            fds: fds.map_or(0, |fds| fds.count() as u64),
            memory: number("RssAnon:") + number("VmSwap:"),
            threads: number("Threads:"),
        }
    }

    fn grown(&self, who: &str, before: &Self) -> Vec<String> {
        let rows = [
            ("open files", self.fds, before.fds, FDS),
            (
                "KiB of memory",
                self.memory,
                before.memory,
                before.memory / 2 + MEMORY,
            ),
            ("threads", self.threads, before.threads, THREADS),
        ];
        let beyond = rows
            .into_iter()
            .filter(|(_, now, before, more)| *now > before + more);
        beyond
            .map(|(what, now, before, more)| {
                format!("{who}: {now} {what}, {before} at first, at most {more} more")
            })
            .collect()
    }
}

/// KiB below a folder; what goes while it is counted is gone.
fn disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk(&entry.path()),
        Ok(found) => found.blocks() / 2,
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::{Gauge, Usage};

    #[test]
    fn what_grows_beyond_its_bound_is_found_and_what_does_not_is_not() {
        let before = Gauge {
            spoke: Usage {
                fds: 30,
                memory: 50_000,
                threads: 8,
            },
            ..Gauge::default()
        };
        let mut after = before;
        after.spoke.fds += 20;
        assert!(after.grown(&before).is_empty());
        after.spoke.fds += 20;
        after.spoke.memory = 500_000;
        after.hub.threads = 100;
        assert_eq!(after.grown(&before).len(), 3);
    }

    #[test]
    fn this_process_has_files_memory_and_threads() {
        let own = Usage::of(std::process::id());
        assert!(own.fds > 0 && own.memory > 0 && own.threads > 0, "{own:?}");
    }
}
