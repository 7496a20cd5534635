//! `mosaic demo`: the whole of Mosaic on one machine, told as it happens.
//!
//! A hub and two spokes run as processes of their own, with their own keys and folders. Agents
//! complete, fail and are killed; everything is cleaned up; and a reader that asks none of them
//! counts what is left. Every claim is checked: the first that does not hold ends the demo with
//! exit code 1.

mod acts;
mod cast;
mod claims;
mod scene;
mod tale;

use crate::console::Form;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::image::ImageArgs;
use acts::acts;
use anyhow::Context;
use cast::Cast;
use orchestrator::config::SandboxName;
use scene::Scene;
use std::path::PathBuf;
use std::time::Duration;
use tale::Tale;
use tokio::time::Instant;

/// How long the demo may take, once it is built.
const BOUND: Duration = Duration::from_secs(60);

/// How to play the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Where agents live: docker, bubblewrap or process. Default: the first of them that works.
    #[arg(long)]
    sandbox: Option<SandboxName>,
    #[command(flatten)]
    image: ImageArgs,
    /// Keep the demo's folder, to look around in.
    #[arg(long)]
    keep: bool,
}

/// Plays the demo. It tells its own failures, as part of the tale.
///
/// # Errors
/// Never: what does not hold is told, and is the exit code.
pub(crate) async fn run(args: &DemoArgs, form: Form) -> Result<Exit, Failure> {
    let mut tale = Tale::new(form);
    let played = tokio::time::timeout(BOUND, play(args, &mut tale)).await;
    let too_long = |_| {
        Err(anyhow::anyhow!(
            "it took longer than {} seconds",
            BOUND.as_secs()
        ))
    };
    match played.unwrap_or_else(too_long) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            tale.failed(&error);
            Ok(Exit::AgentFailed)
        }
    }
}

async fn play(args: &DemoArgs, tale: &mut Tale) -> anyhow::Result<()> {
    let began = Instant::now();
    tale.title("Mosaic: one hub, two sites, and agents that leave nothing behind");
    let scene = Scene::set(args.sandbox, &args.image.docker())
        .await
        .context("cannot set the scene")?;
    tale.say(&format!(
        "everything happens in {}",
        scene.folder().display()
    ));
    tale.say(&format!("agents live in: {}", scene.sandbox_and_why()));
    if let Some(warning) = scene.warning() {
        tale.warn(warning);
    }
    let played = stage(tale, &scene).await;
    if played.is_err() {
        tale.logs(&scene);
    }
    played?;
    if args.keep {
        tale.say(&format!("kept: {}", scene.keep().display()));
    }
    tale.end(began.elapsed());
    Ok(())
}

/// Brings the cast on, plays, and sees everybody off.
async fn stage(tale: &mut Tale, scene: &Scene) -> anyhow::Result<()> {
    let mut cast = Cast::start(scene)
        .await
        .context("cannot start hub and spokes")?;
    tale.cast(scene, &cast);
    let played = acts(tale, scene, &cast).await;
    let stopped = cast.stop().await;
    played?;
    stopped.context("hub or spokes did not stop cleanly")?;
    tale.claim("hub and spokes stopped when asked, within their time");
    Ok(())
}

/// The program that plays every part.
fn own_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}
