//! A clock that is set by hand.

use jiff::{SignedDuration, Timestamp};
use mosaic_common::Clock;
use std::sync::Mutex;
use std::time::Duration;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl Default for ManualClock {
    /// A fixed day in 2026.
    fn default() -> Self {
        Self(Mutex::new("2026-11-23T12:00:00Z".parse().unwrap()))
    }
}

impl ManualClock {
    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::try_from(span).unwrap();
    }

    /// Moves it back, as a stepped clock does.
    pub fn step_back(&self, span: Duration) {
        let mut now = self.0.lock().unwrap();
        *now -= SignedDuration::try_from(span).unwrap();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
