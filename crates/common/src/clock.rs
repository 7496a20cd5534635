//! The one place that asks what time it is.

use jiff::Timestamp;
use std::fmt::Debug;

/// Tells the time of day. Spans are measured with `tokio::time`, which tests can pause.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one caller
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
