//! When to try again after a failure, how long to wait, and when to give up.

use crate::failure::is_broken;
use mosaic_common::{Reason, Refusal};
use std::{future::Future, time::Duration};
use tonic::{Code, Status};

/// Tries of one call, the first included.
///
/// With the waits between them about three seconds: a restart of a hub fits, and a script
/// whose hub is gone soon hears of it.
const CALL_TRIES: u32 = 5;

/// Tries in a row to resume a stream, the first included.
///
/// With the waits between them about half a minute: a stream is long, and worth more patience.
const STREAM_TRIES: u32 = 12;

/// The first wait. Each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest wait, also where a server asks for a longer one: then it is better to say so.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Repeats `call` while its connection breaks. Right only for calls that a repeat does not
/// change: reads, and commands that carry the same command id each time.
///
/// # Errors
/// The last answer, when it is a refusal that a repeat cannot change or when tries run out.
pub(crate) async fn call<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let mut patience = Patience::new(CALL_TRIES);
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(status) => patience.wait(status).await?,
        }
    }
}

/// How often something may still fail in a row.
#[derive(Debug)]
pub(crate) struct Patience {
    tries: u32,
    failed: u32,
}

impl Patience {
    const fn new(tries: u32) -> Self {
        Self { tries, failed: 0 }
    }

    /// No patience: the first failure is the last.
    pub(crate) const fn none() -> Self {
        Self::new(1)
    }

    /// The patience of a stream that is resumed by cursor.
    pub(crate) const fn of_stream() -> Self {
        Self::new(STREAM_TRIES)
    }

    /// Notes that the stream exists: from now on it is worth the patience of one.
    pub(crate) const fn become_stream(&mut self) {
        self.tries = STREAM_TRIES;
    }

    /// Notes that something came through: the count begins anew.
    pub(crate) const fn progress(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// `status` again, if another try is useless or one too many.
    pub(crate) async fn wait(&mut self, status: Status) -> Result<(), Status> {
        self.failed += 1;
        if self.failed >= self.tries || !is_worth_a_retry(&status) {
            return Err(status);
        }
        tokio::time::sleep(pause(self.failed, &status)).await;
        Ok(())
    }
}

/// Whether the same call may fare better in a moment.
fn is_worth_a_retry(status: &Status) -> bool {
    match Refusal::from_status(status) {
        Some(refusal) => {
            refusal.reason.code() == Code::Unavailable
                || refusal.reason == Reason::CommandInProgress
        }
        None => is_broken(status),
    }
}

/// The wait after the `failed`-th failure in a row.
fn pause(failed: u32, status: &Status) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failed.saturating_sub(1).min(16));
    let asked = Refusal::from_status(status).and_then(|refusal| refusal.retry_after);
    doubled.max(asked.unwrap_or_default()).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_tried_again_a_few_times_only() {
        let calls = Cell::new(0);
        let end = call(|| {
            calls.set(calls.get() + 1);
            async { Err::<(), _>(Status::unavailable("tcp connect error")) }
        });
        assert_eq!(end.await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(calls.get(), CALL_TRIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        let calls = Cell::new(0);
        let end = call(|| {
            calls.set(calls.get() + 1);
            async { Err::<(), _>(Refusal::new(Reason::SpawnsLatched, "no").into()) }
        });
        assert!(end.await.is_err());
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_renews_the_patience_of_a_stream() {
        let mut patience = Patience::of_stream();
        for _ in 0..3 * STREAM_TRIES {
            patience.progress();
            assert!(patience.wait(Status::unavailable("cut")).await.is_ok());
        }
    }

    #[test]
    fn waits_grow_and_are_bounded_also_by_what_a_server_asks_for() {
        let plain = Status::unavailable("gone");
        assert_eq!(pause(1, &plain), FIRST_WAIT);
        assert_eq!(pause(2, &plain), FIRST_WAIT * 2);
        assert_eq!(pause(u32::MAX, &plain), LONGEST_WAIT);
        let asks = Refusal::new(Reason::SpokeDraining, "wait").retry_after(Duration::from_secs(90));
        assert_eq!(pause(1, &asks.into()), LONGEST_WAIT);
    }
}
