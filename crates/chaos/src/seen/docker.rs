//! Containers, networks and volumes that bear a spoke's labels, as the engine's own client lists them.

use super::{Kind, Place, Thing};
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};

/// Asks the engine for everything that is labelled with this data folder.
pub(super) fn look(place: &Place) -> Result<Vec<Thing>> {
    let label = format!("label=mosaic.data={}", place.data.display());
    let mut things = Vec::new();
    let form = "{{.ID}} {{.State}} {{.Label \"mosaic.agent\"}}";
    for line in ask(&["ps", "--all", "--filter", &label, "--format", form])?.lines() {
        things.push(Thing::new(Kind::Container, line));
    }
    let form = "{{.Name}}";
    let networks = ask(&["network", "ls", "--filter", &label, "--format", form])?;
    things.extend(networks.lines().map(|name| Thing::new(Kind::Network, name)));
    let volumes = ask(&["volume", "ls", "--filter", &label, "--format", form])?;
    things.extend(volumes.lines().map(|name| Thing::new(Kind::Volume, name)));
    Ok(things)
}

fn ask(arguments: &[&str]) -> Result<String> {
    let asked = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot run docker")?;
    let complaint = String::from_utf8_lossy(&asked.stderr);
    ensure!(asked.status.success(), "docker: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&asked.stdout).into_owned())
}
