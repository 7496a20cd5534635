//! Ends agents on command, one or all, and says of each what was seen.
//!
//! It works with nothing but this spoke: no hub, and no store to read if the agent is alive.
//! Killing all latches first, durably, so that nothing comes in behind it.

use crate::journal::unavailable;
use crate::lifecycle::policy::{self, Barred, Decision, Request};
use crate::lifecycle::{Agents, Ended, Latch};
use mosaic_common::agent::{AgentRecord, AgentState, Cause};
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Alias, CommandId, Refusal};
use mosaic_store::{Table, Write};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a kill may take beyond the grace before its caller is told that it is not proved.
///
/// A sandbox gives up on a proof after ten seconds; rescue and removal of a large worktree
/// come on top. The kill itself goes on either way.
const BUDGET: Duration = Duration::from_secs(30);

/// When a latch that could not be stored is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The row of the closed latches.
const LATCHES: &str = "latches";

/// Who kills, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The command.
    pub command: CommandId,
    /// Who asks: `local:<uid>` or `<connection>/<client>`.
    pub by: String,
    /// What they said.
    pub reason: String,
    /// The connection they ask over; `None`: the local operator.
    pub connection: Option<Alias>,
}

/// What became of an agent.
#[derive(Debug, Clone)]
pub enum Killed {
    /// It was alive, and was seen dead.
    Dead(Box<AgentRecord>),
    /// It had ended before, or ended by itself.
    AlreadyEnded(Box<AgentRecord>),
    /// It never started here; its id is barred.
    NeverStarted,
    /// It could not be proved dead in time; it is still being tried.
    NotProved(Box<AgentRecord>, String),
}

/// Kills one agent that the caller may see, or bars the id of one that never was.
///
/// # Errors
/// If the agent is not alive and the store fails.
pub async fn kill(
    agents: &Agents,
    agent: &AgentId,
    order: &Order,
    grace: Duration,
) -> Result<Killed, Refusal> {
    loop {
        let cause = Cause::Killed {
            by: order.by.clone(),
            reason: order.reason.clone(),
        };
        if let Some(ended) = agents.end(agent, cause, grace, grace + BUDGET).await {
            return Ok(seen(ended));
        }
        let there = agents.get(agent).await?;
        let barred = there.as_ref().map_or(Barred::No, Barred::of);
        match (
            policy::decide(
                there.as_ref().map(|record| record.state),
                barred,
                Request::Kill,
            ),
            there,
        ) {
            (Decision::Keep, Some(_)) if barred == Barred::Yes => return Ok(Killed::NeverStarted),
            (Decision::Keep, Some(record)) => return Ok(Killed::AlreadyEnded(Box::new(record))),
            (Decision::Bar, _) if bar(agents, agent, order).await? => {
                return Ok(Killed::NeverStarted);
            }
            // It came alive, or ended, since we looked.
            (
                Decision::Keep | Decision::Bar | Decision::End | Decision::Start | Decision::Refuse,
                _,
            ) => {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// What a kill-all did.
#[derive(Debug)]
pub struct KilledAll {
    /// Every agent that was alive.
    pub agents: Vec<(AgentId, Killed)>,
    /// How well the latch holds.
    pub latch: Latched,
}

/// How well a latch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latched {
    /// Until it is released.
    Durably,
    /// Until it is released, or the spoke restarts: the store cannot be used. It is tried again.
    InMemory,
}

/// Latches, then kills every agent of the caller: of the whole spoke for the local operator. All
/// at once, so that one that does not die keeps no other alive; and whatever the store says.
pub async fn kill_all(agents: &Agents, order: &Order) -> KilledAll {
    let latches = agents.gate().latch(latch_of(order));
    let latch = match store(agents, &latches).await {
        Ok(()) => Latched::Durably,
        Err(_) => {
            tokio::spawn(store_later(agents.clone()));
            Latched::InMemory
        }
    };
    failpoint!("kill.latched");
    let is_theirs =
        |record: &AgentRecord| order.connection.is_none() || record.connection == order.connection;
    let theirs = agents.alive().into_iter().filter(is_theirs);
    let kills = theirs.map(|record| async move {
        let id = record.id().clone();
        match kill(agents, &id, order, Duration::ZERO).await {
            Ok(killed) => (id, killed),
            Err(why) => (id, Killed::NotProved(Box::new(record), why.message)),
        }
    });
    let killed = futures_util::future::join_all(kills).await;
    failpoint!("kill.all_dead");
    KilledAll {
        agents: killed,
        latch,
    }
}

/// Stores what is latched as soon as that can be done.
async fn store_later(agents: Agents) {
    loop {
        tokio::time::sleep(STORE_RETRY).await;
        // Read anew each time: what was released meanwhile must not come back.
        if store(&agents, &agents.gate().latches()).await.is_ok() {
            return;
        }
    }
}

/// Takes back the caller's latch; the local operator's release takes back every one. Returns
/// whether there was one.
///
/// # Errors
/// If that could not be made durable; the latch stays closed then.
pub async fn release(agents: &Agents, order: &Order) -> Result<bool, Refusal> {
    let (latch, before) = (latch_of(order), agents.gate().latches());
    let left = match latch {
        Latch::Spoke => BTreeSet::new(),
        Latch::Connection(_) => before
            .iter()
            .filter(|closed| **closed != latch)
            .cloned()
            .collect(),
    };
    store(agents, &left).await?;
    failpoint!("kill.released");
    agents.gate().release(&latch);
    Ok(left != before)
}

/// Reads the latches of an earlier life.
///
/// # Errors
/// If the store fails.
pub async fn latches(
    store: &dyn mosaic_store::StateStore,
) -> Result<BTreeSet<Latch>, mosaic_store::Error> {
    let Some(value) = store.get(Table::Meta, LATCHES).await? else {
        return Ok(BTreeSet::new());
    };
    serde_json::from_slice(&value).map_err(|error| mosaic_store::Error::Read(error.into()))
}

fn latch_of(order: &Order) -> Latch {
    order
        .connection
        .clone()
        .map_or(Latch::Spoke, Latch::Connection)
}

async fn store(agents: &Agents, latches: &BTreeSet<Latch>) -> Result<(), Refusal> {
    let failed = |error: mosaic_store::Error| unavailable(&error);
    let value = serde_json::to_vec(latches)
        .map_err(|error| failed(mosaic_store::Error::Write(error.into())))?;
    let write = Write::Put(Table::Meta, LATCHES.to_owned(), value);
    agents
        .deps()
        .journal
        .store()
        .apply(vec![write])
        .await
        .map(drop)
        .map_err(failed)
}

fn seen(ended: Ended) -> Killed {
    match ended {
        Ended::Yes(record) if is_killed(&record) => Killed::Dead(record),
        Ended::Yes(record) => Killed::AlreadyEnded(record),
        Ended::NotYet(record) => {
            let sandbox = record
                .cleanup
                .as_ref()
                .map(|report| report.sandbox.detail.clone());
            let detail =
                sandbox.unwrap_or_else(|| format!("it is still {}", record.state.as_str()));
            Killed::NotProved(record, detail)
        }
    }
}

/// Whether a kill ended it, also where the store would not take its final state.
fn is_killed(record: &AgentRecord) -> bool {
    let state = match &record.cause {
        Some(cause) if !record.state.is_final() => cause.state(),
        Some(_) | None => record.state,
    };
    state == AgentState::Killed
}

/// Bars an id; false if there is an agent of it by now.
async fn bar(agents: &Agents, agent: &AgentId, order: &Order) -> Result<bool, Refusal> {
    let journal = &agents.deps().journal;
    let by = order.by.clone();
    let barred = (AgentState::Killed, Cause::Barred { by });
    let record = journal.unasked(agent, order.command, barred);
    let record = record.map_err(|error| Refusal::invalid("agent_id", error))?;
    let record = AgentRecord {
        connection: order.connection.clone(),
        ended: Some(record.created),
        ..record
    };
    let created = journal
        .create(&record)
        .await
        .map_err(|error| unavailable(&error))?;
    failpoint!("kill.barred");
    Ok(matches!(created, crate::journal::Created::New))
}
