//! What `/proc` says of processes.

use anyhow::Context;
use rustix::process::Pid;
use std::fs;
use std::path::PathBuf;

/// A process that was there when it was listed.
#[derive(Debug)]
pub(crate) struct Process {
    pid: i32,
}

/// Every process of the machine.
pub(crate) fn all() -> anyhow::Result<Vec<Process>> {
    let names = fs::read_dir("/proc")?
        .flatten()
        .map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    Ok(pids.map(|pid| Process { pid }).collect())
}

/// The children of a process, and theirs.
pub(crate) fn below(pid: u32) -> anyhow::Result<Vec<Pid>> {
    let listed = all()?;
    let parents: Vec<(i32, i32)> = listed
        .iter()
        .filter_map(|of| Some((of.pid, of.parent()?)))
        .collect();
    let mut found = vec![i32::try_from(pid)?];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    Ok(found
        .into_iter()
        .skip(1)
        .filter_map(Pid::from_raw)
        .collect())
}

/// KiB of memory that are a process's own, and its share of what it shares.
pub(crate) fn memory(pid: u32) -> anyhow::Result<f64> {
    Process {
        pid: i32::try_from(pid)?,
    }
    .memory()
    .context("the process is gone")
}

impl Process {
    /// Program and arguments; empty when it has ended.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let text = fs::read(self.file("cmdline")).unwrap_or_default();
        let parts = text.split(|byte| *byte == 0);
        let mut parts: Vec<String> = parts
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        parts.pop(); // after the last zero comes nothing
        parts
    }

    /// Its proportional set size, in KiB.
    pub(crate) fn memory(&self) -> Option<f64> {
        let text = fs::read_to_string(self.file("smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Whether its environment names this agent, or its command line does.
    pub(crate) fn is_of(&self, agent: &str) -> bool {
        let mark = format!("MOSAIC_AGENT_ID={agent}");
        let environment = fs::read(self.file("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
            || self
                .arguments()
                .iter()
                .any(|argument| argument.contains(agent))
    }

    fn parent(&self) -> Option<i32> {
        let text = fs::read_to_string(self.file("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok()
    }

    fn file(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid).into()
    }
}
