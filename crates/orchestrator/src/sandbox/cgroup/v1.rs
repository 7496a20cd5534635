//! Control groups, version 1: one hierarchy for each controller.

use super::set;
use mosaic_common::agent::Limits;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The length of an accounting period in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The controllers that are used; each may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Controller {
    /// Bytes of memory.
    Memory,
    /// Processes.
    Pids,
    /// Processor time.
    Cpu,
    /// Stops all processes at once, so that none is born while they are killed.
    Freezer,
}

impl Controller {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Memory, "memory"),
        (Self::Pids, "pids"),
        (Self::Cpu, "cpu"),
        (Self::Freezer, "freezer"),
    ];
}

/// The group `name` of each controller that has a writable hierarchy, made if need be.
pub(super) fn roots(own: &str, mounts: &str, name: &str) -> Vec<(Controller, PathBuf)> {
    let usable = |(controller, text): (Controller, &str)| {
        let root = base(own, mounts, text)?.join(name);
        fs::create_dir_all(&root).ok()?;
        let writable = rustix::fs::access(&root, rustix::fs::Access::WRITE_OK).is_ok();
        writable.then_some((controller, root))
    };
    Controller::ALL.into_iter().filter_map(usable).collect()
}

/// The folder of the group that this process is in; the hierarchy's root if that is not visible.
fn base(own: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let is_v1 = after.next() == Some("cgroup");
        (is_v1 && has(after.nth(1)?)).then(|| before.split(' ').nth(4))?
    })?;
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        has(parts.next()?).then(|| parts.next())?
    })?;
    let inside = Path::new(mount).join(path.trim_start_matches('/'));
    Some(if inside.is_dir() {
        inside
    } else {
        mount.into()
    })
}

/// Makes the folders and sets the limits.
pub(super) fn create(folders: &[(Controller, PathBuf)], limits: &Limits) -> io::Result<()> {
    for (controller, folder) in folders {
        fs::create_dir_all(folder)?;
        match controller {
            Controller::Memory => limit_memory(folder, limits)?,
            Controller::Pids => {
                if let Some(pids) = limits.pids {
                    set(folder, "pids.max", pids)?;
                }
            }
            Controller::Cpu => {
                if let Some(millis) = limits.cpu_millis {
                    set(folder, "cpu.cfs_period_us", CPU_PERIOD)?;
                    let quota = u64::from(millis) * CPU_PERIOD / 1_000;
                    set(folder, "cpu.cfs_quota_us", quota)?;
                }
            }
            Controller::Freezer => {}
        }
    }
    Ok(())
}

fn limit_memory(folder: &Path, limits: &Limits) -> io::Result<()> {
    let Some(bytes) = limits.memory_bytes else {
        return Ok(());
    };
    set(folder, "memory.limit_in_bytes", bytes)?;
    // Without swap, where the kernel counts it; else as little of it as it allows.
    if set(folder, "memory.memsw.limit_in_bytes", bytes).is_err() {
        drop(set(folder, "memory.swappiness", 0));
    }
    Ok(())
}

/// The freezer's word for a group in which nothing runs.
pub(super) const FROZEN: &str = "FROZEN";
/// The freezer's word for a group that goes on.
pub(super) const THAWED: &str = "THAWED";

/// Sets the state of the freezer, if there is one: without it the rounds of a kill do.
pub(super) fn freeze(folders: &[(Controller, PathBuf)], state: &str) {
    for (controller, folder) in folders {
        if *controller == Controller::Freezer {
            drop(set(folder, "freezer.state", state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_made_below_the_one_this_process_is_in() {
        let mount = tempfile::tempdir().unwrap();
        let inside = mount.path().join("user/x");
        fs::create_dir_all(&inside).unwrap();
        let mounts = format!(
            "35 31 0:32 / {} rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n",
            mount.path().display()
        );
        let own = "4:memory:/other\n3:cpu,cpuacct:/user/x\n0::/\n";
        assert_eq!(base(own, &mounts, "cpu"), Some(inside));
        assert_eq!(base(own, &mounts, "memory"), None);
        let elsewhere = "3:cpu,cpuacct:/outside/of/this/container\n";
        assert_eq!(base(elsewhere, &mounts, "cpu"), Some(mount.path().into()));
    }
}
