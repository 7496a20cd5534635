//! Brings a scenario to its end, whatever dies on the way: who has died is started again, and the
//! call that was cut short is repeated under the same command id.

mod attempt;

use crate::finding::{Fault, Finding};
use crate::scenario::Step;
use crate::told::{self, Told};
use crate::world::{HubClient, Part, World};
use anyhow::{Context, Result, ensure};
use attempt::Again;
use mosaic_common::proto::agent::v1::AgentState;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

/// Within this a system that has come back must be as if nothing had happened.
pub const PROMISED: Duration = Duration::from_secs(30);

/// How long one step may take, with a death and a recovery in it.
const STEP: Duration = Duration::from_secs(75);

/// How long one call may take; whoever died under it is then looked for, and the call repeated.
const CALL: Duration = Duration::from_secs(10);

/// What begins with a start, such as forgetting what is old, has come to its end after this.
const REST: Duration = Duration::from_secs(2);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(30);

/// SIGABRT: how a process dies at a failpoint.
const ABORT: i32 = 6;

/// A scenario being played.
pub struct Drive<'a> {
    world: &'a mut World,
    /// `name:hit`, and whom it may befall.
    failpoint: (String, Vec<Part>),
    /// What the process says that dies there.
    said: String,
    hub: HubClient,
    spoke: AgentServiceClient<Channel>,
    /// What the process says that dies where it was ambushed.
    ambushed: Option<String>,
    outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether somebody died where it was wanted.
    pub reached: bool,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// The longest time from a start to rest.
    pub recovery: Duration,
}

impl<'a> Drive<'a> {
    /// A scenario in this world. The failpoint is `name:hit`.
    ///
    /// # Errors
    /// If hub or spoke have no address.
    pub fn new(world: &'a mut World, failpoint: &str, victims: Vec<Part>) -> Result<Self> {
        let name = failpoint.split(':').next().unwrap_or_default();
        Ok(Self {
            hub: world.at_hub()?,
            spoke: world.at_spoke()?,
            said: format!("failpoint {name} reached"),
            failpoint: (failpoint.to_owned(), victims),
            world,
            ambushed: None,
            outcome: Outcome::default(),
        })
    }

    /// Plays the steps, then checks.
    ///
    /// # Errors
    /// What did not come to its end; what is wrong in the world is no error but a finding.
    pub async fn play(mut self, steps: Vec<Step>) -> Result<Outcome> {
        for step in &steps {
            self.step(step).await.with_context(|| format!("{step:?}"))?;
        }
        self.note_death_of_a_supervisor();
        // What dies later must not die in the next scenario.
        for part in self.failpoint.1.clone() {
            self.world.kill(part);
            self.start(part).await?;
        }
        self.check(Instant::now()).await?;
        self.outcome.findings.sort();
        self.outcome.findings.dedup(); // seen on the way, and still there
        Ok(self.outcome)
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        let deadline = Instant::now() + STEP;
        match step {
            Step::Arm => {
                let failpoint = self.failpoint.0.clone();
                return self.arm(&failpoint).await;
            }
            Step::Ambush(first) => {
                let name = first.split(':').next().unwrap_or_default();
                self.ambushed = Some(format!("failpoint {name} reached"));
                return self.arm(first).await;
            }
            Step::Rest => {
                let end = Instant::now() + REST;
                while !self.deaths().await? && Instant::now() < end {
                    sleep(PAUSE).await;
                }
                return Ok(());
            }
            Step::Drain => {
                self.world.ask_to_stop(Part::Spoke);
                while self.world.pid(Part::Spoke).is_some() && !self.deaths().await? {
                    ensure!(Instant::now() < deadline, "the spoke does not stop");
                    sleep(PAUSE).await;
                }
                return Ok(());
            }
            Step::Spawn(_)
            | Step::Begun(_)
            | Step::Ended(_)
            | Step::Kill(..)
            | Step::KillAll(_)
            | Step::Release(_) => {}
        }
        loop {
            let done = tokio::time::timeout(CALL, self.attempt(step)).await;
            match done {
                Ok(Ok(())) => return self.deaths().await.map(drop),
                Ok(Err(Again::Never(status))) => anyhow::bail!("refused: {status}"),
                Ok(Err(Again::NotYet)) | Err(_) => {}
            }
            self.deaths().await?;
            ensure!(Instant::now() < deadline, "never came to its end");
            sleep(PAUSE).await;
        }
    }

    /// Starts the victims anew, with the failpoint.
    async fn arm(&mut self, failpoint: &str) -> Result<()> {
        for part in self.failpoint.1.clone() {
            self.world.kill(part);
            self.world.run(part, Some(failpoint)).await?;
        }
        Ok(())
    }

    /// Starts again who has died. Returns whether somebody had.
    async fn deaths(&mut self) -> Result<bool> {
        let mut any = false;
        for part in [Part::Hub, Part::Spoke] {
            self.note_death_of_a_supervisor();
            let Some(death) = self.world.death(part) else {
                continue;
            };
            any = true;
            let ambush = self
                .ambushed
                .take_if(|said| death.last_words.contains(&**said));
            if ambush.is_some() {
                let failpoint = self.failpoint.0.clone();
                self.world.run(part, Some(&failpoint)).await?;
                sleep(REST).await; // what it does by itself comes before anybody repeats a call
                continue;
            }
            if death.signal == Some(ABORT) && death.last_words.contains(&self.said) {
                self.outcome.reached = true;
            } else if death.signal.is_some() {
                let what = format!("the {} died of itself: {}", part.name(), death.last_words);
                self.outcome
                    .findings
                    .push(Finding::new(Fault::Untrue, None, what));
            }
            self.start(part).await?;
        }
        Ok(any)
    }

    /// Starts a part as it is, and waits until nothing is wrong any more.
    async fn start(&mut self, part: Part) -> Result<()> {
        let begun = Instant::now();
        self.world.run(part, None).await?;
        if part == Part::Hub && self.failpoint.1.contains(&Part::Spoke) {
            return Ok(()); // its site may die of the same failpoint, and is started only after this
        }
        while let Some(unrest) = self.unrest(part).await {
            if begun.elapsed() > PROMISED {
                let what = format!("not at rest after {PROMISED:?}: {unrest}");
                let finding = Finding::new(Fault::Unsettled, None, what);
                self.outcome.findings.push(finding);
                break;
            }
            sleep(PAUSE).await;
        }
        if part == Part::Spoke {
            self.check(begun).await?;
        }
        self.outcome.recovery = self.outcome.recovery.max(begun.elapsed());
        Ok(())
    }

    /// What a part that came back is still busy with: a spoke with its agents, and a hub until it
    /// tells of those of its site.
    async fn unrest(&mut self, part: Part) -> Option<String> {
        if part == Part::Hub {
            let told = told::ask(&mut self.hub).await;
            return told.err().map(|error| format!("{error:#}"));
        }
        let told = told::ask(&mut self.spoke).await.unwrap_or_default();
        let moving: Vec<&Told> = told.iter().filter(|told| !is_at_rest(told)).collect();
        (!moving.is_empty()).then(|| format!("{moving:?}"))
    }

    /// A supervisor dies by itself; the spoke's log has its last words.
    fn note_death_of_a_supervisor(&mut self) {
        if self.said.contains("failpoint supervise.") {
            self.outcome.reached |= self.world.has_said(Part::Spoke, &self.said);
        }
    }

    /// What is still wrong when the promised time since `begun` is over.
    async fn check(&mut self, begun: Instant) -> Result<()> {
        let patience = PROMISED.saturating_sub(begun.elapsed());
        let promises = || self.world.witness.promises();
        let mut check = self.world.checker()?;
        let found = check.lasting(promises, patience).await?;
        self.outcome.findings.extend(found);
        Ok(())
    }
}

/// Whether nothing is being done about an agent: it runs, or it is over.
fn is_at_rest(told: &Told) -> bool {
    told.state == AgentState::Running || told.is_over()
}
