//! Command ids that clients have used, and for what: the same id is only ever the same request.
//!
//! A claim is durable before anything is sent. It keeps the digest of the request as it goes to
//! the site: requests are encoded the same way every time, so a retry whose digest fits is sent
//! with the very same bytes, also after a restart of the hub. Nothing is sent here.

use crate::index::failed;
use jiff::Timestamp;
use mosaic_common::ids::hex;
use mosaic_common::keys::sha256;
use mosaic_common::{Clock, CommandId, Reason, Refusal};
use mosaic_federation::kind::{self, Request};
use mosaic_store::{Error, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When to try again while the same command is on its way: most are answered by then.
const RETRY: Duration = Duration::from_millis(500);

/// Rows looked at with one read while old ones are forgotten.
const PAGE: usize = 1000;

/// Command ids and what they were used for.
#[derive(Debug, Clone)]
pub struct Claims {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    open: Arc<Mutex<HashSet<CommandId>>>,
}

/// The right to carry out a command. While it is held, nobody else gets it.
#[derive(Debug)]
pub struct Claim {
    command: CommandId,
    open: Arc<Mutex<HashSet<CommandId>>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.command);
    }
}

/// What is kept of one command id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    kind: String,
    digest: String,
    created: Timestamp,
}

impl Claims {
    /// The claims in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            open: Arc::default(),
        }
    }

    /// Takes a command id for a request; also again, for the same request.
    ///
    /// # Errors
    /// [`Reason::CommandConflict`] if it was used for another request;
    /// [`Reason::CommandInProgress`] while it is carried out; [`Reason::StoreUnavailable`].
    pub async fn take<R: Request>(
        &self,
        command: CommandId,
        request: &R,
    ) -> Result<Claim, Refusal> {
        let claim = self.enter(command)?;
        let entry = Entry {
            kind: kind::name(R::KIND).to_owned(),
            digest: hex(&sha256(&request.encode_to_vec())),
            created: self.clock.now(),
        };
        let value = serde_json::to_vec(&entry).unwrap_or_default(); // strings and a time: cannot fail
        let create = Write::Create(Table::Claims, command.to_string(), value);
        match self.store.apply(vec![create]).await {
            Ok(_) => Ok(claim),
            Err(Error::Exists { value, .. }) if is_same(&value, &entry) => Ok(claim),
            Err(Error::Exists { .. }) => Err(conflict(command)),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Whether a command id has been used.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn holds(&self, command: CommandId) -> Result<bool, Refusal> {
        let found = self.store.get(Table::Claims, &command.to_string()).await;
        Ok(found.map_err(|error| failed(&error))?.is_some())
    }

    /// Forgets claims made before `limit`.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn forget(&self, limit: Timestamp) -> Result<(), Error> {
        let mut before = None;
        loop {
            let rows = self.store.scan(Table::Claims, before, PAGE).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            before = Some(last.number);
            let is_old = |value: &[u8]| {
                serde_json::from_slice::<Entry>(value).is_ok_and(|entry| entry.created < limit)
            };
            let old = rows.into_iter().filter(|row| is_old(&row.value));
            let old: Vec<_> = old
                .map(|row| Write::Delete(Table::Claims, row.key))
                .collect();
            if !old.is_empty() {
                self.store.apply(old).await?;
            }
        }
    }

    /// Whether a command is being carried out now.
    #[must_use]
    pub fn is_open(&self, command: CommandId) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.contains(&command)
    }

    /// The right to carry out a command, without using its id up.
    pub(crate) fn enter(&self, command: CommandId) -> Result<Claim, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.insert(command) {
            let problem = format!("the command {command} is being carried out");
            return Err(Refusal::new(Reason::CommandInProgress, problem).retry_after(RETRY));
        }
        Ok(Claim {
            command,
            open: self.open.clone(),
        })
    }
}

/// Whether a row is of the same request. One that cannot be read is of another: nothing may be
/// done twice because a row is damaged.
fn is_same(value: &[u8], entry: &Entry) -> bool {
    let found: Option<Entry> = serde_json::from_slice(value).ok();
    found.is_some_and(|found| found.kind == entry.kind && found.digest == entry.digest)
}

/// What the sender of another request under a used id is told.
pub(crate) fn conflict(command: CommandId) -> Refusal {
    let problem = format!(
        "command_id: {command} was used for another request; choose a fresh one for each request"
    );
    Refusal::new(Reason::CommandConflict, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::SystemClock;
    use mosaic_common::proto::agent::v1 as pb;
    use mosaic_store::MemoryStore;

    fn release(site: &str) -> pb::ReleaseRequest {
        pb::ReleaseRequest {
            site: site.into(),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn an_id_is_for_one_request_also_over_a_restart_and_one_at_a_time() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
        let claims = Claims::new(store.clone(), Arc::new(SystemClock));
        let command = CommandId::random();
        let reason = |claim: Result<Claim, Refusal>| claim.err().map(|refusal| refusal.reason);
        assert!(!claims.holds(command).await.unwrap());
        let held = claims.take(command, &release("a")).await.unwrap();
        assert_eq!(
            reason(claims.take(command, &release("a")).await),
            Some(Reason::CommandInProgress)
        );
        drop(held);
        let claims = Claims::new(store, Arc::new(SystemClock));
        assert_eq!(reason(claims.take(command, &release("a")).await), None);
        for _ in 0..2 {
            let other = claims.take(command, &release("b")).await;
            assert_eq!(reason(other), Some(Reason::CommandConflict));
        }
        let other_kind = pb::KillAllRequest {
            site: "a".into(),
            ..Default::default()
        };
        let other = claims.take(command, &other_kind).await;
        assert_eq!(reason(other), Some(Reason::CommandConflict));
    }

    #[tokio::test]
    async fn old_claims_are_forgotten_and_young_ones_kept() {
        let claims = Claims::new(Arc::new(MemoryStore::default()), Arc::new(SystemClock));
        let command = CommandId::random();
        drop(claims.take(command, &release("a")).await.unwrap());
        let now = SystemClock.now();
        let an_hour = jiff::SignedDuration::from_hours(1);
        claims.forget(now - an_hour).await.unwrap();
        assert!(claims.holds(command).await.unwrap());
        claims.forget(now + an_hour).await.unwrap();
        assert!(!claims.holds(command).await.unwrap());
    }
}
