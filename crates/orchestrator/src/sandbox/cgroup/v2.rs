//! Control groups, version 2: one hierarchy, one switch that kills.

use super::set;
use mosaic_common::agent::Limits;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The length of an accounting period in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// The controllers an agent's group needs.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The group `name` below this process's own group, or below the nearest one above that may hand
/// controllers down: a group with processes in it may not. Made if need be.
pub(super) fn root(own: &str, mounts: &str, name: &str) -> Result<PathBuf, String> {
    let mount = mounts
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .find(|(_, after)| after.starts_with("cgroup2 "))
        .and_then(|(before, _)| before.split(' ').nth(4))
        .ok_or("no hierarchy is mounted")?;
    let path = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or("this process is in no group")?;
    let mut reason = String::from("no group may be made");
    for base in Path::new(path).ancestors() {
        match enable(&Path::new(mount).join(base), name) {
            Ok(root) => return Ok(root),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

fn enable(base: &Path, name: &str) -> io::Result<PathBuf> {
    hand_down(base)?;
    let root = base.join(name);
    match fs::create_dir(&root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => hand_down(&root)?,
    }
    Ok(root)
}

/// Lets the groups below have the controllers, unless they have them.
fn hand_down(folder: &Path) -> io::Result<()> {
    let enabled = fs::read_to_string(folder.join("cgroup.subtree_control"))?;
    for controller in CONTROLLERS {
        if !enabled.split_whitespace().any(|name| name == controller) {
            set(folder, "cgroup.subtree_control", format!("+{controller}"))?;
        }
    }
    Ok(())
}

/// Makes the folder and sets the limits.
pub(super) fn create(folder: &Path, limits: &Limits) -> io::Result<()> {
    if let Some(root) = folder.parent().filter(|root| !root.exists()) {
        fs::create_dir_all(root)?; // it was taken away since it was made
        hand_down(root)?;
    }
    fs::create_dir_all(folder)?;
    if let Some(bytes) = limits.memory_bytes {
        set(folder, "memory.max", bytes)?;
        drop(set(folder, "memory.swap.max", 0)); // the file is there only with swap
    }
    if let Some(pids) = limits.pids {
        set(folder, "pids.max", pids)?;
    }
    if let Some(millis) = limits.cpu_millis {
        let quota = u64::from(millis) * CPU_PERIOD / 1_000;
        set(folder, "cpu.max", format!("{quota} {CPU_PERIOD}"))?;
    }
    Ok(())
}

/// Kills all at once. Kernels before 5.14 have no switch for it: there only its caller's rounds do.
pub(super) fn kill(folder: &Path) {
    drop(set(folder, "cgroup.kill", 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_in_the_form_the_kernel_reads() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            memory_bytes: Some(64),
            pids: Some(9),
            cpu_millis: Some(1_500),
            ..Limits::default()
        };
        create(folder.path(), &limits).unwrap();
        let read = |file| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("memory.max"), "64");
        assert_eq!(read("pids.max"), "9");
        assert_eq!(read("cpu.max"), "150000 100000");
    }

    #[test]
    fn a_machine_without_the_hierarchy_is_told_apart() {
        assert!(root("0::/x\n", "", "mosaic-a").is_err());
    }
}
