//! Processes of agents, wherever they went: the kernel keeps the environment that each inherited.

use super::{Kind, Thing, agent_in};
use anyhow::Result;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Looks for supervisors of this data folder, and for processes of agents that it has, had, or
/// that stand in it. Agents of other spokes are none of ours.
pub(super) fn look(data: &Path, known: &[Thing]) -> Result<Vec<Thing>> {
    let ours: BTreeSet<&str> = known.iter().filter_map(|of| of.agent.as_deref()).collect();
    let own = fs::read_link("/proc/self/ns/pid")?;
    let (mut things, mut namespaces) = (Vec::new(), BTreeSet::new());
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let path = entry.path();
        let arguments = arguments(&path);
        if let Some(agent) = supervised(&arguments, data) {
            things.push(Thing::of(
                Kind::Supervisor,
                &agent,
                format!("process {name}"),
            ));
            continue;
        }
        let Some(agent) = agent_of(&path) else {
            continue;
        };
        let stands = fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(data));
        if !stands && !ours.contains(agent.as_str()) {
            continue;
        }
        let place = format!("process {name} ({})", arguments.join(" "));
        things.push(Thing::of(Kind::Process, &agent, place));
        let namespace = fs::read_link(path.join("ns/pid")).ok();
        if let Some(namespace) = namespace.filter(|namespace| *namespace != own) {
            namespaces.insert((agent, namespace.display().to_string()));
        }
    }
    let namespaces = namespaces.into_iter();
    things.extend(namespaces.map(|(agent, place)| Thing::of(Kind::Namespace, &agent, place)));
    Ok(things)
}

/// The agent that a supervisor of this data folder watches over.
fn supervised(arguments: &[String], data: &Path) -> Option<String> {
    let [_, verb, folder, ..] = arguments else {
        return None;
    };
    (verb == "supervise" && Path::new(folder).starts_with(data)).then(|| agent_in(folder))?
}

fn arguments(process: &Path) -> Vec<String> {
    let text = fs::read(process.join("cmdline")).unwrap_or_default();
    let parts = text
        .split(|byte| *byte == 0)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn agent_of(process: &Path) -> Option<String> {
    let environment = fs::read(process.join("environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(b"MOSAIC_AGENT_ID="))?;
    agent_in(&String::from_utf8_lossy(value))
}

/// How many processes of an agent there are.
#[must_use]
pub fn processes_of(agent: &str) -> usize {
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    let theirs = listed.filter(|entry| agent_of(&entry.path()).as_deref() == Some(agent));
    theirs.count()
}
