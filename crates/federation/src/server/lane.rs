//! What one connection may use of the server: so many commands a minute, so many at a time.
//!
//! It is asked before any cryptography. Nothing ever waits here: there is a place or a refusal,
//! so a kill never stands behind spawns.

use mosaic_common::{Alias, Reason, Refusal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Calls of one connection at a time. Most are over in milliseconds; a kill takes seconds.
const CALLS: usize = 64;

/// Spawns among them: half, so that the others always find a place.
const SPAWNS: usize = 32;

/// Open streams of one connection. Each holds a cursor and a buffer, for hours.
const STREAMS: usize = 32;

/// When to try again for a place.
const RETRY: Duration = Duration::from_millis(500);

/// The lanes of all connections.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<HashMap<Alias, Arc<Lane>>>);

impl Lanes {
    /// The lane of a connection. Only connections of the table get one, so the map stays small.
    pub(super) fn of(&self, connection: &Alias) -> Arc<Lane> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(connection) {
            return lane.clone();
        }
        let lane = Arc::new(Lane::default());
        lanes.insert(connection.clone(), lane.clone());
        lane
    }
}

/// The lane of one connection.
#[derive(Debug)]
pub(super) struct Lane {
    bucket: Mutex<Option<Bucket>>,
    calls: Arc<Semaphore>,
    spawns: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            bucket: Mutex::default(),
            calls: Arc::new(Semaphore::new(CALLS)),
            spawns: Arc::new(Semaphore::new(SPAWNS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }
}

impl Lane {
    /// Counts one command against the rate.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time until the next one.
    pub(super) fn count(&self, per_minute: u32) -> Result<(), Refusal> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let bucket = bucket.get_or_insert_with(|| Bucket::full(per_minute, now));
        bucket.take(per_minute, now).map_err(|wait| {
            let problem = format!("the grant allows {per_minute} commands a minute");
            Refusal::new(Reason::RateLimited, problem).retry_after(wait)
        })
    }

    /// A place for a call.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub(super) fn call(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        place(&self.calls, "calls", CALLS)
    }

    /// A place for a spawn.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub(super) fn spawn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        place(&self.spawns, "spawns", SPAWNS)
    }

    /// A place for a stream.
    ///
    /// # Errors
    /// `OVERLOADED`.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        place(&self.streams, "streams", STREAMS)
    }
}

fn place(of: &Arc<Semaphore>, what: &str, most: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    of.clone().try_acquire_owned().map_err(|_| {
        let problem = format!("a connection may have {most} {what} at a time");
        Refusal::new(Reason::Overloaded, problem).retry_after(RETRY)
    })
}

/// A bucket that holds one minute's commands and fills evenly.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_minute: u32, now: Instant) -> Self {
        Self {
            tokens: f64::from(per_minute),
            at: now,
        }
    }

    /// Takes one, or says how long until there is one.
    fn take(&mut self, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let most = f64::from(per_minute);
        let passed = now.saturating_duration_since(self.at);
        self.tokens = (self.tokens + passed.as_secs_f64() * most / 60.0).min(most);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // A rate of 0 never has one; a minute is when it is worth looking at the grant again.
        let wait = (1.0 - self.tokens) * 60.0 / most;
        Err(Duration::from_secs_f64(wait.min(60.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_as_many_commands_as_the_grant_says() {
        let now = Instant::now();
        let mut bucket = Bucket::full(6, now);
        for _ in 0..6 {
            bucket.take(6, now).unwrap();
        }
        let wait = bucket.take(6, now).unwrap_err();
        assert!(wait <= Duration::from_secs(10), "{wait:?}");
        let later = now + wait + Duration::from_millis(1);
        bucket.take(6, later).unwrap();
        assert!(bucket.take(6, later).is_err());
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_through() {
        let lane = Lane::default();
        let refusal = lane.count(0).unwrap_err();
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
    }

    #[test]
    fn spawns_leave_room_for_other_calls() {
        let lane = Lane::default();
        let spawns: Vec<_> = (0..SPAWNS).map(|_| lane.spawn().unwrap()).collect();
        assert_eq!(lane.spawn().unwrap_err().reason, Reason::Overloaded);
        drop(lane.call().unwrap());
        drop(spawns);
        drop(lane.spawn().unwrap());
    }
}
