//! The mirror: a copy of live rows and of every event in Valkey, for programs that are not ours.
//! Never read by us but to know how far the copy is; never waited for by anybody.
//!
//! # Guarantees
//! The stream holds every event once and in order, whatever dies in between. How far it is is
//! asked of Valkey at each connection and said again with each write, so a server that came
//! back with less, or empty, is given just what it lacks, and a write that a broken connection
//! delivers late is refused before it does anything. Where the log has forgotten what the
//! stream lacks, an entry says so. A stream of another history is replaced.
//!
//! The keys are written in the same step as the event that changed them, and put right as a
//! whole at each connection.

mod address;
mod connection;
mod entry;
mod keys;
mod session;
mod view;

pub use address::{Address, InvalidAddress};
pub use connection::Credentials;
pub use view::{Told, View};

use crate::{Cause, StateStore};
use connection::Connection;
use keys::Keys;
use session::{Fault, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The first pause after a failure, and the longest: a restarted server is found at once, and one
/// that stays away costs a connection every few seconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a stopping spoke waits for the last events to be copied: enough for thousands on any
/// server that answers, and nothing an operator would notice. The next start copies the rest.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Copies one store to one Valkey server.
#[derive(Debug)]
pub struct Mirror {
    /// What is copied.
    pub store: Arc<dyn StateStore>,
    /// How it is written there.
    pub view: Arc<dyn View>,
    /// The name in the keys: the site's. Two that share a server must not share a name.
    pub name: String,
    /// Where.
    pub address: Address,
    /// As whom.
    pub credentials: Credentials,
    /// About how many entries the stream keeps.
    pub keep: u64,
}

impl Mirror {
    /// Copies until `stop`, and then until everything is copied or a short time has passed.
    /// What fails is tried again; it is logged when it begins to fail and when it works again.
    pub async fn run(self, stop: CancellationToken) {
        let bound = async {
            stop.cancelled().await;
            sleep(LAST_EVENTS).await;
        };
        tokio::select! {
            () = bound => tracing::warn!("stopped before Valkey had every event; the next start goes on"),
            () = self.copy(&stop) => {}
        }
    }

    async fn copy(&self, stop: &CancellationToken) {
        let mut outage = Outage::default();
        loop {
            let ended = Session::new(self, stop, &mut outage).run().await;
            let Err(fault) = ended else { return };
            let pause = outage.failed(&fault);
            if timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }
}

/// Connects once, and does nothing.
///
/// # Errors
/// Why the server cannot be used now.
pub async fn reach(address: &Address, credentials: &Credentials) -> Result<(), Cause> {
    Connection::open(address, credentials, Keys::of("")).await?;
    Ok(())
}

/// A time in which the copy is not up to date.
#[derive(Debug, Default)]
struct Outage {
    tries: u32,
}

impl Outage {
    /// Notes a failure. Returns how long to wait before the next try.
    fn failed(&mut self, fault: &Fault) -> Duration {
        if self.tries == 0 {
            let error = fault as &dyn std::error::Error;
            tracing::warn!(error, "Valkey is not up to date; nothing waits for it");
        }
        self.tries = self.tries.saturating_add(1);
        pause(self.tries)
    }

    /// Notes that the copy is up to date.
    fn ended(&mut self) {
        if self.tries > 0 {
            tracing::info!(tries = self.tries, "Valkey is up to date again");
            self.tries = 0;
        }
    }
}

/// The pause before try `tries` + 1.
fn pause(tries: u32) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    PAUSE.0.saturating_mul(1 << doublings).min(PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let told: Vec<_> = [1, 2, 3, 6, 7, u32::MAX].map(pause).into();
        assert_eq!(
            told,
            [100, 200, 400, 3200, 5000, 5000].map(Duration::from_millis)
        );
    }
}
