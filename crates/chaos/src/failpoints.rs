//! A crash at every failpoint of the tree: reached, recovered from, checked.

mod points;
mod table;

pub use points::{Point, points};
pub use table::{Row, Table};

use crate::console::note;
use crate::dice::Dice;
use crate::drive::{Drive, Outcome};
use crate::scenario::{Scenario, Step};
use crate::world::{Part, World};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Which hits of a point are tried when there are more runs than points: later ones meet other
/// agents in other states, and most points are not passed more often in one scenario.
const HITS: u64 = 3;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program that plays hub and spoke: this crate's.
    pub program: PathBuf,
    /// The points.
    pub points: Vec<Point>,
    /// How many runs; at least one for each point.
    pub runs: usize,
    /// What the runs beyond the first of each point are thrown from.
    pub seed: u64,
    /// Whether there is a container engine.
    pub docker: bool,
    /// How many worlds at once.
    pub worlds: usize,
}

/// One crash.
#[derive(Debug, Clone)]
struct Job {
    point: Point,
    hit: u64,
    /// Thrown for it: which scenario comes first, and whether there is Valkey.
    throw: u64,
}

/// What the worlds share.
#[derive(Debug)]
struct Shared {
    jobs: Mutex<VecDeque<Job>>,
    table: Mutex<Table>,
    /// Scenarios that reached a point before.
    known: Mutex<BTreeMap<String, Vec<Scenario>>>,
    docker: bool,
    total: usize,
}

/// Runs everything, and returns what came of it.
///
/// # Errors
/// If a world cannot be started, or does not come to its end.
pub async fn run(plan: &Plan) -> Result<Table> {
    let jobs = jobs(plan);
    let shared = Arc::new(Shared {
        table: Mutex::new(Table::of(&plan.points)),
        known: Mutex::default(),
        docker: plan.docker,
        total: jobs.len(),
        jobs: Mutex::new(jobs),
    });
    let mut worlds = tokio::task::JoinSet::new();
    for _ in 0..plan.worlds.max(1) {
        worlds.spawn(work(plan.program.clone(), shared.clone()));
    }
    while let Some(done) = worlds.join_next().await {
        done.context("a world fell over")??;
    }
    let table = lock(&shared.table).clone();
    Ok(table)
}

/// Each point once at its first hit; then others by chance.
fn jobs(plan: &Plan) -> VecDeque<Job> {
    let mut dice = Dice::new(plan.seed);
    let mut jobs: VecDeque<Job> = VecDeque::new();
    for point in &plan.points {
        // The first container of a life is the one that the engine is tried out with.
        let hits = if point.name.starts_with("docker.") {
            1..=2
        } else {
            1..=1
        };
        jobs.extend(hits.map(|hit| Job {
            point: point.clone(),
            hit,
            throw: dice.throw(),
        }));
    }
    while jobs.len() < plan.runs && !plan.points.is_empty() {
        let at = jobs.len() % plan.points.len();
        jobs.push_back(Job {
            point: plan.points[at].clone(),
            hit: 1 + dice.below(HITS),
            throw: dice.throw(),
        });
    }
    jobs
}

async fn work(program: PathBuf, shared: Arc<Shared>) -> Result<()> {
    let mut world = None;
    loop {
        let next = lock(&shared.jobs).pop_front();
        let Some(job) = next else { return Ok(()) };
        let uses = Scenario::Mixed.uses(false);
        let alive = match &mut world {
            Some(alive) => alive,
            none => none.insert(World::start(&program, uses).await?),
        };
        let failpoint = format!("{}:{}", job.point.name, job.hit);
        let played = reach(alive, &shared, &job, &failpoint).await;
        let (scenario, outcome) = match played {
            Ok(played) => played,
            Err(error) => {
                note(&format!(
                    "{failpoint}: {error:#}; kept: {}",
                    keep(world.take())
                ));
                let mut table = lock(&shared.table);
                table.stuck(&job.point.name, format!("{error:#}"));
                continue;
            }
        };
        let says = if outcome.reached {
            "reached"
        } else {
            "not reached"
        };
        let mut table = lock(&shared.table);
        let counts = job.hit == 1; // a later hit need not exist
        table.add(&job.point.name, &outcome, counts);
        let (done, of) = (table.runs(), shared.total);
        let recovery = outcome.recovery.as_millis();
        note(&format!(
            "{done}/{of} {failpoint} {scenario:?}: {says}, back in {recovery} ms"
        ));
        drop(table);
        if !outcome.findings.is_empty() {
            for finding in &outcome.findings {
                note(&format!("{failpoint} {scenario:?}: {finding}"));
            }
            // What is wrong in it would be found again and again.
            note(&format!("kept: {}", keep(world.take())));
        }
    }
}

/// Plays scenarios until one reaches the point.
async fn reach(
    world: &mut World,
    shared: &Shared,
    job: &Job,
    failpoint: &str,
) -> Result<(Scenario, Outcome)> {
    let known = lock(&shared.known).get(&job.point.name).cloned();
    let mut dice = Dice::new(job.throw);
    let order = match known {
        Some(known) if job.hit > 1 || dice.below(2) == 0 => {
            dice.one_of(&known).copied().into_iter().collect()
        }
        _ => Scenario::candidates(&job.point.name, shared.docker),
    };
    let mut last = None;
    let mut findings = Vec::new();
    for scenario in order {
        world.use_next(scenario.uses(job.throw.is_multiple_of(2)));
        world.witness.forget();
        let steps = scenario.steps(world);
        let starts = matches!(steps.first(), Some(Step::Arm));
        if !starts || !job.point.victims.contains(&Part::Spoke) {
            world.restart_spoke().await?; // with what it uses in this scenario
        }
        let drive = Drive::new(world, failpoint, job.point.victims.clone())?;
        let mut outcome = drive
            .play(steps)
            .await
            .with_context(|| format!("{scenario:?}"))?;
        outcome.findings.splice(..0, findings);
        if outcome.reached {
            let mut known = lock(&shared.known);
            let reach = known.entry(job.point.name.clone()).or_default();
            if !reach.contains(&scenario) {
                reach.push(scenario);
            }
            return Ok((scenario, outcome));
        }
        findings = std::mem::take(&mut outcome.findings);
        last = Some((scenario, outcome));
    }
    let (scenario, mut outcome) = last.context("no scenario to play")?;
    outcome.findings = findings;
    Ok((scenario, outcome))
}

/// Keeps a world's folder for whoever looks into it, and stops the rest.
fn keep(world: Option<World>) -> String {
    world.map_or_else(String::new, World::keep)
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
