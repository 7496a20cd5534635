//! Finds the processes of agents by what the kernel says of them: the agent's id stands in the
//! environment that every process of it inherited, also of those that left its session.

use anyhow::{Context, Result};
use mosaic_common::AgentId;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How many processes belong to these agents, and how many process namespaces of their own they
/// live in. A process whose environment we may not read is somebody else's.
pub(super) fn of(agents: &BTreeSet<AgentId>) -> Result<(usize, usize)> {
    let own = std::fs::read_link("/proc/self/ns/pid").context("cannot read /proc")?;
    let (mut processes, mut namespaces) = (0, BTreeSet::new());
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let Ok(entry) = entry else { continue };
        if !entry
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
        {
            continue;
        }
        let Some(agent) = agent_of(&entry.path().join("environ")) else {
            continue;
        };
        if agents.contains(&agent) {
            processes += 1;
            namespaces.extend(
                std::fs::read_link(entry.path().join("ns/pid"))
                    .ok()
                    .filter(|ns| *ns != own),
            );
        }
    }
    Ok((processes, namespaces.len()))
}

fn agent_of(environ: &PathBuf) -> Option<AgentId> {
    let environ = std::fs::read(environ).ok()?;
    let value = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"MOSAIC_AGENT_ID="))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
