//! Load for a long time with a fault now and then: nothing may grow, and nothing may be left.

use crate::console::note;
use crate::finding::{Fault, Finding};
use crate::gauge::Gauge;
use crate::kill::{Load, Rounds, Victim};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long, and how often somebody is killed.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Altogether.
    pub whole: Duration,
    /// From one fault to the next.
    pub period: Duration,
}

/// Wears a world out. What is used is read at rest, after a first fault of each part: the first
/// use of anything costs once.
///
/// # Errors
/// If the world cannot be started or looked at.
pub async fn run(program: &Path, load: Load, span: Span) -> Result<Vec<Finding>> {
    let mut rounds = Rounds::start(program, load).await?;
    rounds
        .round(Some(Victim::Both))
        .await
        .context("the first round")?;
    let first = Gauge::of(&rounds.world);
    let begun = Instant::now();
    tell(begun, &first, &rounds);
    let mut victims = Victim::ALL.into_iter().cycle();
    while begun.elapsed() < span.whole {
        let next = Instant::now() + span.period;
        rounds.round(victims.next()).await?;
        while Instant::now() < next.min(begun + span.whole) {
            rounds.round(None).await?;
        }
        tell(begun, &Gauge::of(&rounds.world), &rounds);
    }
    let grown = Gauge::of(&rounds.world).grown(&first);
    let grown = grown
        .into_iter()
        .map(|what| Finding::new(Fault::Leak, None, what));
    rounds.findings.extend(grown);
    Ok(rounds.end())
}

fn tell(begun: Instant, gauge: &Gauge, rounds: &Rounds) {
    let (at, found) = (begun.elapsed().as_secs(), rounds.findings.len());
    let agents = rounds.agents();
    note(&format!(
        "{at:>5} s, {agents} agents, {found} findings: {gauge:?}"
    ));
}
