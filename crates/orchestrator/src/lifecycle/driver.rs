//! The task that owns one agent. It alone changes the agent's state.

use super::{Deps, End, Pass, follow};
use crate::cleanup;
use mosaic_common::agent::{AgentRecord, AgentState, Cause, Usage};
use mosaic_common::failpoint;
use mosaic_common::in_full;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// One agent's task.
pub(super) struct Driver {
    pub(super) deps: Arc<Deps>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) record: watch::Sender<AgentRecord>,
    pub(super) requests: mpsc::Receiver<End>,
    /// Cancelled when the spoke stops waiting for endings that are not clean.
    pub(super) give_up: CancellationToken,
    /// Its place at the gate, held as long as it lives.
    pub(super) pass: Pass,
}

impl Driver {
    /// Drives the agent from the state it is in to its end.
    pub(super) async fn run(mut self) {
        let slots = self.slots.clone();
        let record = self.record.borrow().clone();
        let running = match record.state {
            AgentState::Queued | AgentState::Spawning => None,
            AgentState::Running => Some(record),
            AgentState::Stopping
            | AgentState::Completed
            | AgentState::Failed
            | AgentState::Killed => {
                return self.end(None).await;
            }
        };
        let (end, slot) = match running {
            Some(running) => (self.follow(&running).await, slots.try_acquire().ok()),
            None => self.start(&slots).await,
        };
        self.end(Some(end)).await;
        drop((slot, self.pass));
    }

    /// Waits for a place, makes the agent, follows it. Returns why it ends.
    async fn start<'a>(&mut self, slots: &'a Semaphore) -> (End, Option<SemaphorePermit<'a>>) {
        let slot = tokio::select! {
            biased; // an end that waits already comes before a place
            Some(end) = self.requests.recv() => return (end, None),
            slot = slots.acquire() => slot.ok(),
        };
        (self.spawn().await, slot)
    }

    async fn spawn(&mut self) -> End {
        let failed = |cause| End {
            cause,
            grace: Duration::ZERO,
        };
        if let Err(error) = self.enter(AgentState::Spawning).await {
            let detail = in_full(&error);
            return failed(Cause::SpawnFailed {
                step: "state".to_owned(),
                detail,
            });
        }
        failpoint!("spawn.told");
        let spec = self.record.borrow().spec.clone();
        let made = tokio::select! {
            biased;
            // A fetch can take minutes; an end does not wait for it.
            Some(end) = self.requests.recv() => return end,
            made = self.deps.spawner.worktree(&spec) => made,
        };
        failpoint!("spawn.worktree_made");
        let started = match made {
            Ok(worktree) => self.deps.spawner.start(&spec, worktree).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            warn!(agent.id = %spec.agent_id, error = %in_full(&error), "spawn failed");
            return failed(error.cause());
        }
        failpoint!("spawn.sandbox_made");
        if let Err(error) = self.enter(AgentState::Running).await {
            // It runs, and the machine knows; the store will when it is back.
            warn!(agent.id = %spec.agent_id, error = %in_full(&error), "running could not be recorded");
        }
        failpoint!("run.told");
        let running = self.record.borrow().clone();
        self.follow(&running).await
    }

    async fn follow(&mut self, running: &AgentRecord) -> End {
        let (tell, mut told) = watch::channel(running.usage);
        let (deps, record) = (&self.deps, &self.record);
        let end = follow::until_the_end(deps, running, &mut self.requests, &tell);
        let mut end = std::pin::pin!(end);
        loop {
            let end = tokio::select! {
                biased;
                end = &mut end => Some(end),
                Ok(()) = told.changed() => None,
            };
            if told.has_changed().unwrap_or_default() || end.is_none() {
                let usage = *told.borrow_and_update();
                used(deps, record, usage).await;
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Ends the agent, again and again until nothing of it is left.
    async fn end(&mut self, end: Option<End>) {
        let mut grace = end.as_ref().map_or(Duration::ZERO, |end| end.grace);
        failpoint!("run.ended");
        if let Some(End { cause, .. }) = end {
            self.record.send_modify(|record| record.cause = Some(cause));
            if let Err(error) = self.enter(AgentState::Stopping).await {
                warn!(error = %in_full(&error), "stopping could not be recorded");
            }
        }
        failpoint!("cleanup.stopping");
        loop {
            let record = self.record.borrow().clone();
            let after = cleanup::remove(&self.deps.means(), &record, grace).await;
            let report = after.cleanup.as_ref();
            let clean = report.is_some_and(|report| report.is_clean());
            let pause = cleanup::pause(report.map_or(1, |report| report.attempts));
            self.record.send_replace(after);
            grace = Duration::ZERO; // it was asked once
            failpoint!("cleanup.told");
            if clean {
                return;
            }
            tokio::select! {
                () = self.give_up.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Makes the agent be in a state: durable first, then seen by everybody.
    async fn enter(&mut self, state: AgentState) -> Result<(), mosaic_store::Error> {
        let now = self.deps.journal.now();
        let mut record = self.record.borrow().clone();
        record.state = state;
        if state == AgentState::Running {
            record.started = record.started.or(Some(now));
        }
        let written = self
            .deps
            .journal
            .publish(&record, &[record.state_event(now)])
            .await;
        info!(agent.id = %record.id(), agent.state = state.as_str(), "agent changed state");
        self.record.send_replace(record);
        written
    }
}

/// Remembers what the agent has used so far, and tells.
async fn used(deps: &Deps, record: &watch::Sender<AgentRecord>, usage: Option<Usage>) {
    let after = AgentRecord {
        usage,
        ..record.borrow().clone()
    };
    let event = after.usage_event(deps.journal.now());
    if let Err(error) = deps.journal.publish(&after, &[event]).await {
        warn!(agent.id = %after.id(), error = %in_full(&error), "usage could not be recorded");
    }
    record.send_replace(after);
}
