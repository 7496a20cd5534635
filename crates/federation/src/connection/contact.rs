//! When something of a peer last came.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When something of a peer last came over a connection that proved its key. A connection that is
/// open speaks at least as often as its keep-alives do.
#[derive(Debug)]
pub struct Contact {
    start: Instant,
    /// Milliseconds from the start.
    last: AtomicU64,
}

impl Default for Contact {
    /// Begins as if something had come now: a spoke that has just been started knows of no silence.
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Contact {
    /// Notes that something came.
    pub fn heard(&self) {
        let now = self.start.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// How long nothing has come.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}
