//! The register of agents that are alive: takes requests, hands each to the agent's task.

use super::driver::Driver;
use super::policy;
use super::{Deps, End, Gate, Pass};
use crate::journal::{Created, unavailable};
use mosaic_common::agent::{AgentRecord, Cause};
use mosaic_common::failpoint;
use mosaic_common::{AgentId, Refusal};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many ends may wait at one agent. The first decides; the others only wait with it.
const MAILBOX: usize = 4;

/// Rows read at once when the register is filled.
const PAGE: usize = 500;

/// The register of agents that are alive.
#[derive(Debug, Clone)]
pub struct Agents {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    deps: Arc<Deps>,
    gate: Gate,
    slots: Arc<Semaphore>,
    live: Mutex<HashMap<AgentId, Handle>>,
    tasks: TaskTracker,
    give_up: CancellationToken,
}

#[derive(Debug, Clone)]
struct Handle {
    record: watch::Receiver<AgentRecord>,
    requests: mpsc::Sender<End>,
}

/// How a wait for an agent's end ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It has ended; this is its record, final unless the store would not take it.
    Yes(Box<AgentRecord>),
    /// It has not within the time; this is what it was doing.
    NotYet(Box<AgentRecord>),
}

impl Agents {
    /// An empty register, of which at most `running` agents run at once.
    #[must_use]
    pub fn new(deps: Deps, gate: Gate, running: usize) -> Self {
        let shared = Shared {
            deps: Arc::new(deps),
            gate,
            slots: Arc::new(Semaphore::new(running)),
            live: Mutex::default(),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What a life needs.
    #[must_use]
    pub fn deps(&self) -> &Deps {
        &self.shared.deps
    }

    /// The gate that agents come in by.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Takes up every agent that an earlier life of this spoke has not brought to its end.
    ///
    /// # Errors
    /// If the store cannot be read: then it is not known what there is, and nothing is touched.
    pub async fn resume(&self) -> Result<usize, mosaic_store::Error> {
        let (mut before, mut taken) = (None, 0);
        loop {
            let page = self.deps().journal.scan(before, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(taken);
            };
            before = Some(*last);
            for (_, record) in page {
                let unclean = record
                    .cleanup
                    .as_ref()
                    .is_some_and(|report| !report.is_clean());
                if !record.state.is_final() || unclean {
                    self.take_up(record);
                    taken += 1;
                }
            }
        }
    }

    /// Drives an agent that has a record and no task: to its end, or once more through its ending.
    pub fn take_up(&self, record: AgentRecord) {
        let pass = self.gate().readmit(record.connection.clone());
        self.drive(record, pass);
    }

    /// Makes an agent, durably, and starts its task. A retry returns the agent that is there.
    ///
    /// # Errors
    /// [`policy::retry`]'s, or that the store fails; nothing was made then.
    pub async fn accept(&self, record: AgentRecord, pass: Pass) -> Result<AgentRecord, Refusal> {
        match self
            .deps()
            .journal
            .create(&record)
            .await
            .map_err(|error| unavailable(&error))?
        {
            Created::New => {
                failpoint!("spawn.recorded");
                self.drive(record.clone(), pass);
                if self.gate().is_shut(record.connection.as_ref()) {
                    self.turn_back(record.id());
                }
                Ok(record)
            }
            Created::Found(there) => {
                policy::retry(&there, &record)?;
                Ok(self
                    .live(there.id())
                    .map_or(*there, |handle| handle.record.borrow().clone()))
            }
        }
    }

    /// Reads one agent as it was last made durable: whoever has seen an event of it reads nothing
    /// older. Only where the store fails, one that is alive is told from its task.
    ///
    /// # Errors
    /// If it is not alive and the store cannot be read.
    pub async fn get(&self, agent: &AgentId) -> Result<Option<AgentRecord>, Refusal> {
        let alive = || {
            self.live(agent)
                .map(|handle| handle.record.borrow().clone())
        };
        match self.deps().journal.get(agent).await {
            Ok(stored) => Ok(stored.or_else(alive)),
            Err(error) => match alive() {
                Some(record) => Ok(Some(record)),
                None => Err(unavailable(&error)),
            },
        }
    }

    /// Those that are alive.
    #[must_use]
    pub fn alive(&self) -> Vec<AgentRecord> {
        let live = self.lock();
        live.values()
            .map(|handle| handle.record.borrow().clone())
            .filter(|record| !record.state.is_final())
            .collect()
    }

    /// Ends an agent that is alive and waits until it has ended, at most for `budget`. Returns
    /// `None` if it is not alive. The first cause given to an agent is the one it ends with.
    pub async fn end(
        &self,
        agent: &AgentId,
        cause: Cause,
        grace: Duration,
        budget: Duration,
    ) -> Option<Ended> {
        let Handle {
            mut record,
            requests,
        } = self.live(agent)?;
        // A full mailbox or a closed one means that an end is under way.
        drop(requests.try_send(End { cause, grace }));
        let ended = tokio::time::timeout(budget, record.wait_for(AgentRecord::is_over)).await;
        let in_time = matches!(&ended, Ok(Ok(_)));
        drop(ended);
        let now = Box::new(record.borrow().clone());
        Some(if in_time || now.is_over() {
            Ended::Yes(now)
        } else {
            Ended::NotYet(now)
        })
    }

    /// Watches one agent that is alive.
    #[must_use]
    pub fn watch(&self, agent: &AgentId) -> Option<watch::Receiver<AgentRecord>> {
        self.live(agent).map(|handle| handle.record)
    }

    /// Lets nobody in, ends everybody, and waits for that, at most for `budget`.
    pub async fn drain(&self, budget: Duration) {
        self.gate().drain();
        let grace = self.deps().stop_grace;
        for Handle { requests, .. } in self.lock().values() {
            drop(requests.try_send(End {
                cause: Cause::Drained,
                grace,
            }));
        }
        self.shared.tasks.close();
        if tokio::time::timeout(budget, self.shared.tasks.wait())
            .await
            .is_err()
        {
            self.shared.give_up.cancel();
            tracing::warn!(
                "not everything could be cleaned up in time; it will be at the next start"
            );
        }
    }

    /// Ends an agent that came in while everybody was being sent out.
    fn turn_back(&self, agent: &AgentId) {
        let (by, reason) = ("kill-all".to_owned(), "it was on its way in".to_owned());
        if let Some(Handle { requests, .. }) = self.live(agent) {
            let cause = Cause::Killed { by, reason };
            // A full mailbox means that an end is under way.
            drop(requests.try_send(End {
                cause,
                grace: Duration::ZERO,
            }));
        }
    }

    fn drive(&self, record: AgentRecord, pass: Pass) {
        let id = record.id().clone();
        let (sender, receiver) = watch::channel(record);
        let (requests, mailbox) = mpsc::channel(MAILBOX);
        let handle = Handle {
            record: receiver,
            requests,
        };
        match self.lock().entry(id.clone()) {
            Entry::Occupied(_) => return, // it has a task
            Entry::Vacant(free) => drop(free.insert(handle)),
        }
        let driver = Driver {
            deps: self.shared.deps.clone(),
            slots: self.shared.slots.clone(),
            record: sender,
            requests: mailbox,
            give_up: self.shared.give_up.clone(),
            pass,
        };
        let agents = self.clone();
        self.shared.tasks.spawn(async move {
            driver.run().await;
            agents.lock().remove(&id);
        });
    }

    fn live(&self, agent: &AgentId) -> Option<Handle> {
        self.lock().get(agent).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Handle>> {
        // Nothing can panic while it is held; if it did, the map is still whole.
        self.shared
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
