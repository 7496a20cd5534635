//! One thing at a time per agent.
//!
//! A caller that gives up cannot stop the thread that works for it; whoever comes next waits for it.

use mosaic_common::AgentId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Whose turn it is, agent by agent.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<AgentId, Weak<AsyncMutex<()>>>>);

/// The right to work on an agent's files, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "held, never read")] OwnedMutexGuard<()>);

impl Turns {
    /// Waits for the agent's turn.
    pub(crate) async fn take(&self, agent: &AgentId) -> Turn {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(agent).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                locks.insert(agent.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        Turn(lock.lock_owned().await)
    }
}
