//! A client under chaos: it wants one agent brought to its end, whatever dies, and writes down
//! every answer it gets.

use crate::dice::Dice;
use crate::history::{Recorder, What};
use crate::plan::{Ending, Plan};
use crate::seen::processes_of;
use crate::told::Told;
use crate::world::{HubClient, World};
use anyhow::{Result, bail};
use mosaic_common::CommandId;
use mosaic_common::proto::agent::v1::{
    GetRequest, KillRequest, SpawnRequest, WatchRequest, watch_response::Item,
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

/// Between two calls of one client.
const PAUSE: Duration = Duration::from_millis(60);

/// How long one call may take; the connection may be to somebody who is dead.
const CALL: Duration = Duration::from_secs(5);

/// How long a client tries: through a death, a pause and a recovery, with room.
const PATIENCE: Duration = Duration::from_secs(90);

/// One client and its agent.
#[derive(Debug)]
pub struct Client {
    number: u32,
    plan: Plan,
    spawn: SpawnRequest,
    kill: KillRequest,
    hub: HubClient,
    history: Recorder,
    dice: Dice,
}

impl Client {
    /// A client of this world's hub.
    ///
    /// # Errors
    /// If the hub has no address.
    pub fn new(
        world: &World,
        number: u32,
        plan: Plan,
        history: &Recorder,
        seed: u64,
    ) -> Result<Self> {
        Ok(Self {
            number,
            spawn: plan.spawn(world),
            kill: plan.kill(world),
            plan,
            hub: world.at_hub()?,
            history: history.clone(),
            dice: Dice::new(seed),
        })
    }

    /// Spawns the agent, asks for it now and then, kills it if it does not end by itself and
    /// sometimes if it would, and returns when it is told to be over.
    ///
    /// # Errors
    /// If that is refused, or does not come.
    pub async fn live(mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.spawn().await? {
            self.wait(deadline, "is not accepted").await?;
        }
        let kills = self.plan.ending == Ending::Never || self.dice.below(4) == 0;
        let looks = self.dice.below(12); // before it is killed
        for look in 0.. {
            if self.status().await? {
                return Ok(());
            }
            if kills && look >= looks && !self.kill().await? {
                self.kill.command_id = CommandId::random().to_string(); // a new try, not a repeat
            }
            self.wait(deadline, "does not end").await?;
        }
        Ok(())
    }

    async fn wait(&mut self, deadline: Instant, what: &str) -> Result<()> {
        if Instant::now() > deadline {
            bail!("{} {what}", self.plan.agent);
        }
        sleep(PAUSE).await;
        Ok(())
    }

    async fn spawn(&mut self) -> Result<bool> {
        let begun = self.history.now();
        let got = timeout(CALL, self.hub.spawn(self.spawn.clone())).await;
        let Some(answer) = self.answer(begun, "spawn", got)? else {
            return Ok(false);
        };
        let what = What::Spawned {
            command: self.plan.command.clone(),
            agent: answer.agent.unwrap_or_default().agent_id,
        };
        self.history.note(self.number, begun, what);
        Ok(true)
    }

    async fn kill(&mut self) -> Result<bool> {
        let begun = self.history.now();
        let got = timeout(CALL, self.hub.kill(self.kill.clone())).await;
        let Some(answer) = self.answer(begun, "kill", got)? else {
            return Ok(true); // the same again: it may have been done
        };
        let outcome = answer.outcome();
        let name = outcome.as_str_name().trim_start_matches("KILL_OUTCOME_");
        let what = What::Killed {
            agent: self.plan.agent.clone(),
            outcome: name.to_lowercase(),
            alive: processes_of(&self.plan.agent),
        };
        self.history.note(self.number, begun, what);
        Ok(outcome.is_proof())
    }

    async fn status(&mut self) -> Result<bool> {
        let begun = self.history.now();
        let request = GetRequest {
            site: self.spawn.site.clone(),
            agent_id: self.plan.agent.clone(),
        };
        let got = timeout(CALL, self.hub.get(request)).await;
        let answer = self.answer(begun, "get", got)?;
        let Some(agent) = answer.and_then(|answer| answer.agent) else {
            return Ok(false);
        };
        let told = Told::of(&agent);
        let alive = if told.is_final() {
            processes_of(&told.agent)
        } else {
            0
        };
        self.history.status(self.number, begun, &told, alive);
        Ok(told.is_over())
    }

    /// The answer, if there is one; nobody's being there is none.
    fn answer<T>(
        &self,
        begun: u64,
        call: &str,
        got: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
    ) -> Result<Option<T>> {
        let said = match got {
            Ok(Ok(answer)) => return Ok(Some(answer.into_inner())),
            Ok(Err(status)) if is_for_good(&status) => {
                bail!("{call} of {} is refused: {status}", self.plan.agent)
            }
            Ok(Err(status)) => status.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let call = format!("{call}: {said}");
        self.history
            .note(self.number, begun, What::Unanswered { call });
        Ok(None)
    }
}

/// Follows every event of the site, for ever, from where it was each time the stream breaks.
pub async fn follow(mut hub: HubClient, site: String, number: u32, history: Recorder) {
    let mut after = 0;
    loop {
        let request = WatchRequest {
            site: site.clone(),
            after,
            ..WatchRequest::default()
        };
        if let Ok(Ok(answer)) = timeout(CALL, hub.watch(request)).await {
            let mut stream = answer.into_inner();
            history.note(number, history.now(), What::Opened { after });
            while let Ok(Some(next)) = stream.message().await {
                let (last, what) = match next.item {
                    Some(Item::Event(event)) => (
                        event.sequence,
                        What::Event {
                            sequence: event.sequence,
                            agent: event.agent_id,
                            kind: event.r#type,
                        },
                    ),
                    Some(Item::Gap(gap)) => (
                        gap.last,
                        What::Gap {
                            first: gap.first,
                            last: gap.last,
                        },
                    ),
                    None => continue,
                };
                after = last;
                history.note(number, history.now(), what);
            }
        }
        sleep(PAUSE).await;
    }
}

/// Whether trying again is of no use.
fn is_for_good(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::DataLoss
            | Code::Unimplemented
            | Code::OutOfRange
    )
}
