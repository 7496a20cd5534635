//! An agent's start and end in a container, against the engine asked directly for the same
//! container, by turns.

use crate::agent::{self, Events, IDLE};
use crate::engine::{self, Recipe};
use crate::lab::Lab;
use crate::raw::make_folder;
use crate::report::{Against, Measured, Row};
use crate::site::Site;
use mosaic_common::{AgentId, CommandId};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use tokio::time::Instant;

/// What a spawn may take beyond the floor, in milliseconds.
const AIM: f64 = 20.0;

/// Starts, then ends, in milliseconds: ours and the floor's.
type Series = [[Vec<f64>; 2]; 2];

/// Measures starts and ends together: who has been started has to be ended.
pub(crate) async fn measure(lab: &Lab) -> (Row, Row) {
    let (spawn, kill) = match series(lab).await {
        Ok([starts, ends]) => (
            measured(starts, Against::Difference).map(|row| row.aiming(AIM)),
            measured(ends, Against::Ratio),
        ),
        Err(error) => (Err(anyhow::anyhow!("{error:#}")), Err(error)),
    };
    (
        Row::new("spawn to running, docker, through hub and spoke", spawn),
        Row::new("kill to proof, docker, through hub and spoke", kill),
    )
}

fn measured([ours, floor]: [Vec<f64>; 2], against: Against) -> anyhow::Result<Measured> {
    Measured::times(ours, floor, against)
}

async fn series(lab: &Lab) -> anyhow::Result<Series> {
    let folder = lab.folder()?;
    let settings = orchestrator::config::Docker::default();
    let works = orchestrator::docker_works(folder.path(), &settings).await;
    works.map_err(|why| anyhow::anyhow!("docker does not work here: {why}"))?;
    let site = lab.site_with(folder.path(), "docker").await?;
    let mut client = site.at_hub().await?;
    let mut events = Events::of(&mut client).await?;
    let learnt = agent::spawn(&mut client, IDLE, "").await?;
    events.until_running(&learnt).await?;
    let theirs = agents_folder(&site, &learnt);
    let (recipe, owner) = (Recipe::learn(&learnt, IDLE)?, theirs.metadata()?.uid());
    agent::kill(&mut client, &learnt).await?;
    let mut series = Series::default();
    // The first round warms up.
    for round in 0..=lab.often(20, 1) {
        let agent = AgentId::of_command(CommandId::random()).to_string();
        let begun = Instant::now();
        agent::spawn_as(&mut client, &agent, IDLE, "").await?;
        events.until_running(&agent).await?;
        agent::until_ready(&agents_folder(&site, &agent).join("worktree")).await?;
        let start = begun.elapsed();
        let begun = Instant::now();
        agent::kill(&mut client, &agent).await?;
        let ours = [start, begun.elapsed()];

        let (name, place) = (
            format!("mosaic-bench-floor-{agent}"),
            folder.path().join("floor"),
        );
        make_folder(&place, owner)?;
        let begun = Instant::now();
        let started = recipe.start(&name, &theirs, &place);
        let ready = match started {
            Ok(()) => agent::until_ready(&place.join("worktree")).await,
            Err(error) => Err(error),
        };
        let start = begun.elapsed();
        let begun = Instant::now();
        let removed = engine::remove(&name); // also what did not come up
        ready.and(removed)?;
        std::fs::remove_dir_all(&place)?;
        let floor = [start, begun.elapsed()];
        if round > 0 {
            for (of, [ours, floor]) in series
                .iter_mut()
                .zip([[ours[0], floor[0]], [ours[1], floor[1]]])
            {
                of[0].push(ours.as_secs_f64() * 1e3);
                of[1].push(floor.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(series)
}

fn agents_folder(site: &Site, agent: &str) -> PathBuf {
    site.data().join("agents").join(agent)
}
