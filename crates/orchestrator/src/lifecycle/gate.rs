//! Who may still come in: draining, the kill-all latch, quotas and the bound of the queue.
//! It counts and refuses, and asks the disk for room; it starts and stops nothing.

use crate::disk::Room;
use mosaic_common::{Alias, Reason, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When a caller that found no room should ask again: about as long as a short agent lives.
const RETRY: Duration = Duration::from_secs(5);

/// Whose spawns a kill-all has stopped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Latch {
    /// Everybody's: the local operator asked.
    Spoke,
    /// Those of one connection: its hub asked.
    Connection(Alias),
}

impl Latch {
    /// Whether it stops the spawns of a connection; `None` stands for the local operator.
    fn holds(&self, connection: Option<&Alias>) -> bool {
        match self {
            Self::Spoke => true,
            Self::Connection(theirs) => connection == Some(theirs),
        }
    }
}

/// How many agents a connection may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Which connection.
    pub connection: Alias,
    /// How many, waiting or running.
    pub agents: usize,
}

/// Says who may still come in.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    counts: Arc<Mutex<Counts>>,
    disk: Room,
}

#[derive(Debug, Default)]
struct Counts {
    draining: bool,
    latches: BTreeSet<Latch>,
    room: usize,
    inside: usize,
    by_connection: HashMap<Alias, usize>,
}

/// A place of one agent that is alive; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    connection: Option<Alias>,
}

impl Gate {
    /// A gate for at most `room` agents, waiting and running, with the latches of an earlier life.
    #[must_use]
    pub fn new(room: usize, latches: BTreeSet<Latch>) -> Self {
        let counts = Counts {
            room,
            latches,
            ..Counts::default()
        };
        Self {
            counts: Arc::new(Mutex::new(counts)),
            disk: Room::default(),
        }
    }

    /// The same, and nobody comes in while the disk has too little room.
    #[must_use]
    pub fn with_disk(mut self, disk: Room) -> Self {
        self.disk = disk;
        self
    }

    /// Says whether an agent could come in now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, quota: Option<&Quota>) -> Result<(), Refusal> {
        self.lock().check(quota)?;
        self.disk.check()
    }

    /// Lets an agent in.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(&self, quota: Option<&Quota>) -> Result<Pass, Refusal> {
        self.disk.check()?;
        let mut counts = self.lock();
        counts.check(quota)?;
        let connection = quota.map(|quota| quota.connection.clone());
        counts.count(connection.as_ref());
        Ok(Pass {
            gate: self.clone(),
            connection,
        })
    }

    /// Takes in an agent that was inside before a restart, whatever the bounds say now.
    #[must_use]
    pub fn readmit(&self, connection: Option<Alias>) -> Pass {
        self.lock().count(connection.as_ref());
        Pass {
            gate: self.clone(),
            connection,
        }
    }

    /// Whether an agent of this connection that came in a moment ago must go at once: a kill-all
    /// or a drain has begun since, and may have looked for it in vain.
    #[must_use]
    pub fn is_shut(&self, connection: Option<&Alias>) -> bool {
        let counts = self.lock();
        counts.draining || counts.latches.iter().any(|latch| latch.holds(connection))
    }

    /// Lets nobody in any more.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Closes a latch and returns all that are closed.
    pub fn latch(&self, latch: Latch) -> BTreeSet<Latch> {
        let mut counts = self.lock();
        counts.latches.insert(latch);
        counts.latches.clone()
    }

    /// Opens a latch, or every one for the whole spoke's, and returns those still closed.
    pub fn release(&self, latch: &Latch) -> BTreeSet<Latch> {
        let mut counts = self.lock();
        match latch {
            Latch::Spoke => counts.latches.clear(),
            Latch::Connection(_) => drop(counts.latches.remove(latch)),
        }
        counts.latches.clone()
    }

    /// Those that are closed.
    #[must_use]
    pub fn latches(&self) -> BTreeSet<Latch> {
        self.lock().latches.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing can panic while it is held; if it did, the counts are still whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn check(&self, quota: Option<&Quota>) -> Result<(), Refusal> {
        if self.draining {
            return Err(
                Refusal::new(Reason::SpokeDraining, "this spoke is shutting down")
                    .retry_after(RETRY),
            );
        }
        let connection = quota.map(|quota| &quota.connection);
        if self.latches.iter().any(|latch| latch.holds(connection)) {
            let what = "kill-all has been called; release takes it back";
            return Err(Refusal::new(Reason::SpawnsLatched, what));
        }
        if let Some(quota) = quota {
            let has = self
                .by_connection
                .get(&quota.connection)
                .copied()
                .unwrap_or_default();
            if has >= quota.agents {
                let what = format!("the grant allows {} agents at once", quota.agents);
                return Err(Refusal::new(Reason::GrantQuotaExceeded, what).retry_after(RETRY));
            }
        }
        if self.inside >= self.room {
            let what = format!("{} agents run or wait here, and no more may", self.room);
            return Err(Refusal::new(Reason::QueueFull, what).retry_after(RETRY));
        }
        Ok(())
    }

    fn count(&mut self, connection: Option<&Alias>) {
        self.inside += 1;
        if let Some(connection) = connection {
            *self.by_connection.entry(connection.clone()).or_default() += 1;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.lock();
        counts.inside = counts.inside.saturating_sub(1);
        if let Some(count) = self
            .connection
            .as_ref()
            .and_then(|name| counts.by_connection.get_mut(name))
        {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(name: &str, agents: usize) -> Quota {
        Quota {
            connection: name.parse().unwrap(),
            agents,
        }
    }

    fn reason(result: Result<Pass, Refusal>) -> Reason {
        result.unwrap_err().reason
    }

    #[test]
    fn the_bound_of_the_queue_holds_and_a_place_comes_back() {
        let gate = Gate::new(1, BTreeSet::new());
        let pass = gate.enter(None).unwrap();
        let refusal = gate.enter(None).unwrap_err();
        assert_eq!(refusal.reason, Reason::QueueFull);
        assert!(refusal.retry_after.is_some());
        drop(pass);
        assert!(gate.enter(None).is_ok());
    }

    #[test]
    fn one_connection_cannot_take_the_places_of_another() {
        let gate = Gate::new(10, BTreeSet::new());
        let _pass = gate.enter(Some(&quota("a", 1))).unwrap();
        assert_eq!(
            reason(gate.enter(Some(&quota("a", 1)))),
            Reason::GrantQuotaExceeded
        );
        assert!(gate.enter(Some(&quota("b", 1))).is_ok());
    }

    #[test]
    fn a_connections_latch_stops_only_its_own_spawns() {
        let gate = Gate::new(10, BTreeSet::new());
        gate.latch(Latch::Connection("a".parse().unwrap()));
        assert_eq!(
            reason(gate.enter(Some(&quota("a", 5)))),
            Reason::SpawnsLatched
        );
        assert!(gate.enter(Some(&quota("b", 5))).is_ok());
        gate.latch(Latch::Spoke);
        assert_eq!(
            reason(gate.enter(Some(&quota("b", 5)))),
            Reason::SpawnsLatched
        );
        assert_eq!(reason(gate.enter(None)), Reason::SpawnsLatched);
        assert!(gate.release(&Latch::Spoke).is_empty());
        assert!(gate.enter(Some(&quota("a", 5))).is_ok());
    }

    #[test]
    fn nobody_comes_in_while_it_drains() {
        let gate = Gate::new(10, BTreeSet::new());
        gate.drain();
        assert_eq!(reason(gate.enter(None)), Reason::SpokeDraining);
    }
}
