//! Lets callers that want the same thing at the same moment share one attempt.
//!
//! A caller never shares an attempt that began before it came: what it learns is never older
//! than its question.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Attempts at one thing, one at a time.
#[derive(Debug)]
pub(super) struct Flight<E> {
    callers: AtomicU64,
    last: Mutex<Landed<E>>,
}

/// How the last attempt ended, and the last caller it counts for.
#[derive(Debug)]
struct Landed<E> {
    covers: u64,
    outcome: Result<(), E>,
}

impl<E> Default for Flight<E> {
    fn default() -> Self {
        Self {
            callers: AtomicU64::new(0),
            last: Mutex::new(Landed {
                covers: 0,
                outcome: Ok(()),
            }),
        }
    }
}

impl<E: Clone> Flight<E> {
    /// Makes the attempt, or takes the outcome of one that began after this call.
    ///
    /// # Errors
    /// The attempt's own. It is shared too: many callers must not wait for one time-out each.
    pub(super) async fn join<F>(&self, attempt: impl FnOnce() -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let mine = self.callers.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.covers < mine {
            let covers = self.callers.load(Ordering::SeqCst);
            let outcome = attempt().await;
            *last = Landed { covers, outcome };
        }
        last.outcome.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn eight_callers_make_at_most_two_attempts_and_none_gets_an_old_answer() {
        let flight = Arc::new(Flight::<()>::default());
        let attempts = Arc::new(AtomicU64::new(0));
        let callers = (0..8).map(|_| {
            let (flight, attempts) = (flight.clone(), attempts.clone());
            tokio::spawn(async move {
                let before = attempts.load(Ordering::SeqCst);
                let attempt = || async {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok(())
                };
                flight.join(attempt).await.unwrap();
                assert!(attempts.load(Ordering::SeqCst) > before);
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        assert!(attempts.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_failure_is_shared_but_not_kept() {
        let flight = Flight::<&str>::default();
        assert_eq!(flight.join(|| async { Err("down") }).await, Err("down"));
        assert_eq!(flight.join(|| async { Ok(()) }).await, Ok(()));
    }
}
