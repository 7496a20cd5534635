//! Memory of an agent that does nothing: what the spoke itself grows by, and what its supervisor,
//! `bwrap` and first process take beside it.

use crate::agent::{self, Events, IDLE};
use crate::lab::Lab;
use crate::proc;
use crate::report::{Against, Measured, Row, Unit};
use crate::stat::Spread;
use anyhow::Context;
use std::time::Duration;

/// KiB of the spoke's own that an agent may take.
const AIM: f64 = 64.0;

/// Until what was asked for has been done in the background too, and freed memory given back.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures both.
pub(crate) async fn measure(lab: &Lab) -> Vec<Row> {
    let agents = lab.often(50, 3);
    let names = [
        format!("memory per idle agent, the spoke's own ({agents} agents)"),
        "memory per idle agent, its supervisor, bwrap and init".to_owned(),
    ];
    let measured = match series(lab, agents).await {
        Ok([spoke, beside]) => [alone(spoke).map(|row| row.aiming(AIM)), alone(beside)],
        Err(error) => [Err(anyhow::anyhow!("{error:#}")), Err(error)],
    };
    let rows = names.iter().zip(measured);
    rows.map(|(name, measured)| Row::new(name, measured))
        .collect()
}

fn alone(series: Vec<f64>) -> anyhow::Result<Measured> {
    Ok(Measured {
        unit: Unit::Kibibytes,
        ours: Spread::of(series).context("no samples")?,
        floor: None,
        against: Against::Itself,
        aim: None,
    })
}

/// KiB for each agent, once for each round: the spoke's own, and beside it.
async fn series(lab: &Lab, agents: usize) -> anyhow::Result<[Vec<f64>; 2]> {
    lab.needs_bubblewrap()?;
    let folder = lab.folder()?;
    let site = lab.site(folder.path()).await?;
    let mut client = site.at_hub().await?;
    let mut events = Events::of(&mut client).await?;
    let [mut spoke, mut beside] = [Vec::new(), Vec::new()];
    // The first round warms up: threads, buffers and caches that the spoke keeps for good.
    for round in 0..=lab.often(5, 1) {
        tokio::time::sleep(SETTLE).await;
        let before = proc::memory(site.spoke_process())?;
        let mut running = Vec::new();
        for _ in 0..agents {
            let agent = agent::spawn(&mut client, IDLE, "").await?;
            events.until_running(&agent).await?;
            running.push(agent);
        }
        tokio::time::sleep(SETTLE).await;
        let after = proc::memory(site.spoke_process())?;
        let others = others(&running)?;
        for agent in &running {
            agent::kill(&mut client, agent).await?;
        }
        if round > 0 {
            spoke.push((after - before) / agents as f64);
            beside.push(others / agents as f64);
        }
    }
    Ok([spoke, beside])
}

/// KiB of all processes of agents but their programs.
fn others(agents: &[String]) -> anyhow::Result<f64> {
    let is_program = |process: &proc::Process| {
        let arguments = process.arguments();
        arguments
            .first()
            .is_some_and(|program| program == "sleep" || program.ends_with("/sh"))
    };
    let processes = proc::all()?
        .into_iter()
        .filter(|process| !is_program(process) && agents.iter().any(|agent| process.is_of(agent)));
    Ok(processes.filter_map(|process| process.memory()).sum())
}
