//! Tries an engine out before it is offered: with a container like an agent's, that runs `true`.

use super::begin::begin;
use super::container::{PROBE, Site};
use super::engine::Engine;
use super::follow::first_line;
use crate::config::Docker as Settings;
use crate::sandbox::supervise::Frame;
use crate::sandbox::{Error, Network, SandboxSpec};
use mosaic_common::agent::Limits;
use mosaic_common::{AgentId, CommandId, in_full};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long the try may take: an engine that has just been started needs seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// # Errors
/// What is missing, and what to do about it, for people.
pub(super) async fn try_out(
    engine: &Engine,
    site: &Site,
    settings: &Settings,
    owner: Option<u32>,
) -> Result<(), String> {
    engine.ping().await?;
    let image = &settings.image;
    let there = engine
        .has_image(image)
        .await
        .map_err(|error| in_full(&error))?;
    if !there && settings.pull {
        tracing::info!(image, "fetching the agent image");
        engine
            .pull(image)
            .await
            .map_err(|why| format!("the image {image} cannot be fetched: {why}"))?;
    } else if !there {
        return Err(format!(
            "there is no image {image} (build or pull it, or allow pulling)"
        ));
    }
    let site = &site.probing();
    forget_earlier(engine, site)
        .await
        .map_err(|error| in_full(&error))?;
    let spec = nothing(site, owner);
    let name = site.container_name(&spec.agent);
    let tried = timeout(LONGEST, run(engine, site, &spec, &name)).await;
    let removed = engine.remove(&name).await.map_err(|error| in_full(&error));
    tried.unwrap_or_else(|_| Err("a container takes longer than a minute".to_owned()))?;
    removed
}

/// Removes what a try that was cut short left.
async fn forget_earlier(engine: &Engine, site: &Site) -> Result<(), Error> {
    for agent in engine.list(&site.labels(), PROBE).await? {
        if let Ok(agent) = agent.parse() {
            engine.remove(&site.container_name(&agent)).await?;
        }
    }
    Ok(())
}

async fn run(engine: &Engine, site: &Site, spec: &SandboxSpec, name: &str) -> Result<(), String> {
    let begun = begin(engine, site, spec).await;
    begun.map_err(|error| in_full(&error))?;
    match first_line(engine, name).await {
        (Some(Frame::Runs), _) => Ok(()),
        (Some(Frame::Failed(why)), _) => Err(why),
        (_, said) => Err(format!(
            "mosaic cannot run in the image (it needs the GNU C library): {}",
            said.trim()
        )),
    }
}

/// An agent that does nothing, in a folder that every spoke has.
fn nothing(site: &Site, owner: Option<u32>) -> SandboxSpec {
    let folder = site.program_folder();
    SandboxSpec {
        agent: AgentId::of_command(CommandId::random()),
        argv: vec!["true".to_owned()],
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        stdin: Vec::new(),
        workdir: Path::new("/").to_owned(),
        read_only: Vec::new(),
        folder,
        owner,
        limits: Limits::default(),
        network: Network::None,
        image: None,
        output: "/dev/null".into(),
        output_max: 0,
    }
}
