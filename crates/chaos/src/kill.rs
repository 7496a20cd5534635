//! `kill -9` of anybody at any moment, while clients want agents.

use crate::client::{Client, follow};
use crate::console::note;
use crate::dice::Dice;
use crate::drive::PROMISED;
use crate::finding::{Fault, Finding};
use crate::history::{Recorder, What, judge};
use crate::plan::{Ending, Plan};
use crate::seen::{Kind, look};
use crate::world::{Part, Uses, World};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// The client that follows the events of every round.
const FOLLOWER: u32 = 0;

/// The number of a history's entries that no client made.
const NOBODY: u32 = u32::MAX;

/// Whom a fault befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The hub.
    Hub,
    /// The spoke.
    Spoke,
    /// Hub and spoke.
    Both,
    /// The Valkey server.
    Valkey,
    /// A supervisor of an agent.
    Supervisor,
    /// A container is paused, and goes on later if nobody has removed it.
    Pause,
}

impl Victim {
    /// Everybody, the spoke oftener than others: it has most to lose.
    pub const ALL: [Self; 8] = [
        Self::Spoke,
        Self::Hub,
        Self::Both,
        Self::Spoke,
        Self::Valkey,
        Self::Supervisor,
        Self::Spoke,
        Self::Pause,
    ];
}

/// What a run is like.
#[derive(Debug, Clone)]
pub struct Load {
    /// What the dice are thrown from.
    pub seed: u64,
    /// Whether agents run in containers too.
    pub docker: bool,
    /// Agents of one round.
    pub agents: u64,
}

/// A world under load.
#[derive(Debug)]
pub struct Rounds {
    /// The world.
    pub world: World,
    load: Load,
    history: Recorder,
    dice: Dice,
    follower: JoinHandle<()>,
    clients: u32,
    /// What was found so far.
    pub findings: Vec<Finding>,
    /// The longest recovery.
    pub slowest: Duration,
}

impl Rounds {
    /// Starts a world. Its history is the file `history.jsonl` in its folder.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(program: &Path, load: Load) -> Result<Self> {
        let uses = Uses {
            docker: load.docker,
            valkey: true,
            evicts: false,
        };
        let world = World::start(program, uses).await?;
        let history = Recorder::to(&world.folder().join("history.jsonl"))?;
        let following = follow(
            world.at_hub()?,
            world.site().to_owned(),
            FOLLOWER,
            history.clone(),
        );
        Ok(Self {
            follower: tokio::spawn(following),
            dice: Dice::new(load.seed),
            world,
            load,
            history,
            clients: FOLLOWER,
            findings: Vec::new(),
            slowest: Duration::ZERO,
        })
    }

    /// Agents live and end; somebody dies meanwhile, and comes back; then nothing may be wrong.
    ///
    /// # Errors
    /// If the world cannot be looked at, or does not come up again.
    pub async fn round(&mut self, victim: Option<Victim>) -> Result<()> {
        let before = self.findings.len();
        let mut clients = JoinSet::new();
        for _ in 0..self.load.agents {
            clients.spawn(self.client()?.live());
        }
        sleep(Duration::from_millis(self.dice.below(2_000))).await;
        let back = match victim {
            Some(victim) => self.befall(victim).await?,
            None => Instant::now(),
        };
        let ends = async {
            let mut wrong = Vec::new();
            while let Some(ended) = clients.join_next().await {
                if let Err(error) = ended.context("a client fell over").and_then(|ended| ended) {
                    wrong.push(format!("{error:#}"));
                }
            }
            wrong
        };
        for wrong in ends.await {
            self.findings
                .push(Finding::new(Fault::Unsettled, None, wrong));
        }
        let witness = &self.world.witness;
        let patience = PROMISED.saturating_sub(back.elapsed());
        let mut check = self.world.checker()?;
        let found = check.lasting(|| witness.promises(), patience).await?;
        self.findings.extend(found);
        self.findings.extend(judge(&self.history.entries()));
        self.findings.sort();
        self.findings.dedup();
        if victim.is_some() {
            self.slowest = self.slowest.max(back.elapsed());
        }
        for finding in self.findings.iter().skip(before) {
            note(&format!("{victim:?}: {finding}"));
        }
        self.world.witness.forget();
        Ok(())
    }

    /// How many agents were wanted so far.
    #[must_use]
    pub fn agents(&self) -> u32 {
        self.clients
    }

    /// Stops following, and keeps the folder if something was found.
    pub fn end(self) -> Vec<Finding> {
        self.follower.abort();
        if !self.findings.is_empty() {
            note(&format!("kept: {}", self.world.keep()));
        }
        self.findings
    }

    fn client(&mut self) -> Result<Client> {
        self.clients += 1;
        let endings = [Ending::Well, Ending::Badly, Ending::Never];
        let ending = self.dice.one_of(&endings).copied().unwrap_or(Ending::Well);
        let mut plan = Plan::new(ending);
        if self.load.docker && self.dice.below(3) == 0 {
            plan = plan.within("docker");
            if self.dice.below(2) == 0 {
                plan = plan.online();
            }
        }
        Client::new(
            &self.world,
            self.clients,
            plan,
            &self.history,
            self.dice.throw(),
        )
    }

    /// Kills, waits a moment, starts again. Returns when that was.
    async fn befall(&mut self, victim: Victim) -> Result<Instant> {
        let what = What::Fault {
            victim: format!("{victim:?}"),
        };
        self.history.note(NOBODY, self.history.now(), what);
        let away = Duration::from_millis(self.dice.below(1_000));
        let parts: &[Part] = match victim {
            Victim::Hub => &[Part::Hub],
            Victim::Spoke => &[Part::Spoke],
            Victim::Both => &[Part::Hub, Part::Spoke],
            Victim::Valkey => return self.restart_valkey(away).await,
            Victim::Supervisor => return self.kill_a_supervisor().await,
            Victim::Pause => return self.pause_a_container(away).await,
        };
        for part in parts {
            self.world.kill(*part);
        }
        sleep(away).await;
        let back = Instant::now();
        for part in parts {
            self.world.run(*part, None).await?;
        }
        Ok(back)
    }

    async fn restart_valkey(&mut self, away: Duration) -> Result<Instant> {
        if let Some(server) = &mut self.world.valkey {
            server.kill();
            sleep(away).await;
            server.run();
        }
        Ok(Instant::now())
    }

    async fn kill_a_supervisor(&mut self) -> Result<Instant> {
        let place = self.world.checker()?.place;
        let things = tokio::task::spawn_blocking(move || look(&place)).await??;
        let mut supervisors = things.iter().filter(|thing| thing.kind == Kind::Supervisor);
        let pid = supervisors.next().and_then(|thing| {
            let number = thing.place.strip_prefix("process ")?.parse().ok()?;
            Pid::from_raw(number)
        });
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL); // it may have ended
        }
        Ok(Instant::now())
    }

    async fn pause_a_container(&mut self, away: Duration) -> Result<Instant> {
        let label = format!("label=mosaic.data={}", self.world.data().display());
        let list = ["ps", "--quiet", "--filter", &label];
        let listed = tokio::process::Command::new("docker")
            .args(list)
            .output()
            .await;
        if let Ok(listed) = listed
            && let Some(id) = String::from_utf8_lossy(&listed.stdout).lines().next()
        {
            for verb in ["pause", "unpause"] {
                let told = tokio::process::Command::new("docker")
                    .args([verb, id])
                    .output();
                drop(told.await); // it may have ended
                sleep(away).await;
            }
        }
        Ok(Instant::now())
    }
}

/// Kills somebody in each round.
///
/// # Errors
/// If a world cannot be started or looked at.
pub async fn run(program: &Path, load: Load, rounds: u32) -> Result<Vec<Finding>> {
    let mut world = Rounds::start(program, load).await?;
    for round in 1..=rounds {
        // The first rounds take everybody in turn; then chance does.
        let turn = usize::try_from(round - 1)?;
        let victim = match Victim::ALL.get(turn) {
            Some(victim) => *victim,
            None => world
                .dice
                .one_of(&Victim::ALL)
                .copied()
                .unwrap_or(Victim::Spoke),
        };
        let begun = Instant::now();
        world
            .round(Some(victim))
            .await
            .with_context(|| format!("round {round}: {victim:?}"))?;
        let took = begun.elapsed().as_secs_f32();
        let found = world.findings.len();
        note(&format!(
            "round {round}/{rounds} {victim:?}: {took:.1} s, {found} findings"
        ));
    }
    note(&format!(
        "slowest back at rest: {} ms",
        world.slowest.as_millis()
    ));
    Ok(world.end())
}
