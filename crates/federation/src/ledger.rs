//! The spoke's memory of commands: step 10. Nothing has an effect before it is claimed here,
//! and what was claimed is answered with the same receipt for as long as it is kept.
//!
//! Owns the table of claims and the fence. It judges no command and signs nothing.

mod claim;
mod fence;
#[cfg(test)]
mod model;
mod recent;

pub use fence::Memory;

use crate::kind::{self, Carriage};
use crate::record::CommandRecord;
use crate::verify::VerifiedCommand;
pub(crate) use claim::{Claim, Fingerprint};
use claim::{Running, StoredClaim};
use jiff::{SignedDuration, Timestamp};
use mosaic_common::proto::federation::v1::{CommandKind, Envelope};
use mosaic_common::{AgentId, Clock, Reason, Refusal};
use mosaic_store::{Error, StateStore, Table, Write};
use recent::Recent;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{error, warn};

/// How long a claim is kept at least: far longer than any command is valid, so that a retry by
/// hand on the next morning still finds its answer.
const KEEP: SignedDuration = SignedDuration::from_hours(24);

/// When to ask again for a command that is being executed.
const IN_PROGRESS_RETRY: Duration = Duration::from_secs(1);

/// When to ask again while the store cannot be used.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Rows read at a time while old claims are looked for.
const PAGE: usize = 500;

/// Remembers commands.
#[derive(Debug)]
pub struct Ledger {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    fence: Timestamp,
    running: Arc<Mutex<HashMap<String, Fingerprint>>>,
    recent: Mutex<Recent>,
}

/// What a claim came to.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is the caller's to carry out.
    Fresh(Claim),
    /// It was answered before, with this.
    Repeat(Envelope),
}

impl Ledger {
    /// Opens the memory in a store. `memory` says what is known of the store's past.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn open(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        memory: Memory,
    ) -> Result<Self, Error> {
        let fence = fence::establish(&*store, &*clock, memory).await?;
        Ok(Self {
            store,
            clock,
            fence,
            running: Arc::default(),
            recent: Mutex::default(),
        })
    }

    /// Commands signed before this are refused: they may have been executed and forgotten.
    #[must_use]
    pub fn fence(&self) -> Timestamp {
        self.fence
    }

    /// Claims a command. `admit` is asked only for one that has never been claimed.
    ///
    /// # Errors
    /// `COMMAND_CONFLICT`, `COMMAND_IN_PROGRESS`, `STORE_UNAVAILABLE`, or what `admit` says.
    pub(crate) async fn claim(
        &self,
        command: &VerifiedCommand,
        admit: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Claimed, Refusal> {
        let key = format!("{}/{}", command.hub(), command.id());
        let fingerprint = Fingerprint::of(command);
        let running = Running::start(&self.running, &key, fingerprint)?;
        match kind::carriage(command.kind()) {
            Some(Carriage::Act) => self.claim_act(command, running, admit).await,
            Some(Carriage::Read | Carriage::Stream) | None => {
                let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(receipt) = recent.find(&key, fingerprint)? {
                    return Ok(Claimed::Repeat(receipt));
                }
                admit()?;
                recent.remember(&key, fingerprint);
                Ok(Claimed::Fresh(Claim::in_memory(running)))
            }
        }
    }

    async fn claim_act(
        &self,
        command: &VerifiedCommand,
        running: Running,
        admit: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Claimed, Refusal> {
        let found = self.store.get(Table::Claims, running.key()).await;
        let write = match found {
            Ok(Some(value)) => return self.meet(&value, command, running),
            Ok(None) => {
                admit()?;
                let stored = StoredClaim::new(command, self.clock.now());
                let batch = vec![
                    Write::Create(Table::Claims, running.key().to_owned(), stored.render()),
                    CommandRecord::of_command(command, self.clock.now()).write(),
                ];
                self.store.apply(batch).await.map(|_| stored)
            }
            Err(error) => Err(error),
        };
        match write {
            Ok(stored) => Ok(Claimed::Fresh(Claim::durable(running, stored))),
            Err(error) if ends_agents(command.kind()) => {
                // Killing twice harms nobody; not killing because a disk is full does.
                warn!(
                    error = &error as &dyn std::error::Error,
                    "kill goes on without a claim"
                );
                Ok(Claimed::Fresh(Claim::in_memory(running)))
            }
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "cannot claim a command"
                );
                Err(unavailable())
            }
        }
    }

    /// What an earlier claim of the same id means for this command.
    fn meet(
        &self,
        value: &[u8],
        command: &VerifiedCommand,
        running: Running,
    ) -> Result<Claimed, Refusal> {
        let stored = StoredClaim::parse(value).ok_or_else(|| self.unreadable(&running))?;
        if !stored.is_of(Fingerprint::of(command)) {
            return Err(conflict());
        }
        Ok(match stored.receipt() {
            Some(receipt) => Claimed::Repeat(receipt),
            // It is in progress, yet nobody here is at it: an earlier life of this process
            // was. Doing it again is safe, because execution is idempotent by its ids.
            None => Claimed::Fresh(Claim::durable(running, stored)),
        })
    }

    /// Stores what was answered, before it is sent.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; the claim stays, and a retry carries the command out again.
    pub(crate) async fn settle(
        &self,
        claim: Claim,
        receipt: &Envelope,
        record: &CommandRecord,
    ) -> Result<(), Refusal> {
        let Some(stored) = claim.stored() else {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.answer(claim.key(), receipt);
            return Ok(());
        };
        let batch = vec![
            Write::Put(
                Table::Claims,
                claim.key().to_owned(),
                stored.answered(receipt).render(),
            ),
            record.write(),
        ];
        self.write(batch).await
    }

    /// Gives a claim back: the same command may come again and be carried out then.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(crate) async fn release(
        &self,
        claim: Claim,
        record: &CommandRecord,
    ) -> Result<(), Refusal> {
        if claim.stored().is_none() {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.forget(claim.key());
            return Ok(());
        }
        let delete = Write::Delete(Table::Claims, claim.key().to_owned());
        self.write(vec![delete, record.write()]).await
    }

    /// Removes claims older than a day, unless the agent they made is `alive`. Returns how many.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn forget(&self, alive: impl Fn(&AgentId) -> bool) -> Result<usize, Error> {
        let limit = self.clock.now() - KEEP;
        let mut before = None;
        let mut removed = 0;
        loop {
            let rows = self.store.scan(Table::Claims, before, PAGE).await?;
            before = rows.last().map(|row| row.number);
            let old: Vec<Write> = rows
                .iter()
                .filter(|row| {
                    StoredClaim::parse(&row.value)
                        .is_some_and(|stored| stored.may_go(limit, &alive))
                })
                .map(|row| Write::Delete(Table::Claims, row.key.clone()))
                .collect();
            removed += old.len();
            if !old.is_empty() {
                self.store.apply(old).await?;
            }
            if rows.len() < PAGE {
                return Ok(removed);
            }
        }
    }

    async fn write(&self, batch: Vec<Write>) -> Result<(), Refusal> {
        self.store.apply(batch).await.map(drop).map_err(|error| {
            error!(
                error = &error as &dyn std::error::Error,
                "cannot store an answer"
            );
            unavailable()
        })
    }

    /// Fails closed: a claim that cannot be read may be of a command that was executed.
    fn unreadable(&self, running: &Running) -> Refusal {
        error!(claim.key = running.key(), "a stored claim cannot be read");
        unavailable()
    }
}

/// Whether a kind only ends agents: it is done even if it cannot be remembered.
pub(crate) fn ends_agents(kind: CommandKind) -> bool {
    matches!(kind, CommandKind::Kill | CommandKind::KillAll)
}

fn conflict() -> Refusal {
    let problem = "another request came before under this command id; use a fresh one";
    Refusal::new(Reason::CommandConflict, problem)
}

fn in_progress() -> Refusal {
    Refusal::new(Reason::CommandInProgress, "it is being executed now")
        .retry_after(IN_PROGRESS_RETRY)
}

fn unavailable() -> Refusal {
    Refusal::new(
        Reason::StoreUnavailable,
        "the spoke's store cannot be used now",
    )
    .retry_after(STORE_RETRY)
}
