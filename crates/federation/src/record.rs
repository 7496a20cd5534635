//! What was asked, by whom, and what became of it: the record that operators read, on both sides.
//!
//! Only commands whose sender is proven are recorded: nobody else can make this table grow.

use crate::kind;
use crate::verify::VerifiedCommand;
use jiff::Timestamp;
use mosaic_common::proto::federation::v1::{self as pb, CommandKind, CommandOutcome};
use mosaic_common::proto::timestamp;
use mosaic_common::{AgentId, Alias, Clock, CommandId, Reason, Refusal};
use mosaic_store::{Error, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod list;
mod open;

pub use list::Page;

/// Stands for the connection of the local operator. No connection can have this name.
const LOCAL: &str = "@local";

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Recorded, no answer yet. A reason says why one that was sent has none.
    Pending,
    /// Answered with an OK receipt.
    Delivered,
    /// No receipt that could be trusted, or one that says failed.
    Failed,
    /// Refused; the reason says why.
    Refused,
}

impl Outcome {
    /// What a refusal makes of a command.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        if is_failure(reason) {
            Self::Failed
        } else {
            Self::Refused
        }
    }
}

/// Whether a reason says that doing it was tried and failed, not that it was not allowed.
pub(crate) fn is_failure(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Internal
            | Reason::StoreUnavailable
            | Reason::TimedOut
            | Reason::SiteUnreachable
            | Reason::Undelivered
            | Reason::ReceiptInvalid
    )
}

/// A recorded command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandRecord {
    /// Its id.
    pub command_id: CommandId,
    /// The name of its kind, as [`kind::name`] has it.
    pub kind: String,
    /// The connection it came or went over; `None`: the local operator.
    pub connection: Option<Alias>,
    /// The site it is for; empty at a spoke.
    pub site: String,
    /// Who asked.
    pub on_behalf_of: String,
    /// The agent it is about.
    pub agent_id: Option<AgentId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, for failed and refused: a [`Reason`].
    pub reason: String,
    /// For people.
    pub detail: String,
    /// When it was recorded.
    pub created: Timestamp,
    /// When its outcome was.
    pub ended: Option<Timestamp>,
    /// At a hub, until there is an outcome: the envelope that was sent, in hexadecimal, so that
    /// also a later life of the hub can send the very same bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub envelope: String,
}

impl CommandRecord {
    /// A record without an outcome yet.
    #[must_use]
    pub fn new(
        command_id: CommandId,
        kind: CommandKind,
        connection: Option<Alias>,
        created: Timestamp,
    ) -> Self {
        Self {
            command_id,
            kind: kind::name(kind).to_owned(),
            connection,
            site: String::new(),
            on_behalf_of: String::new(),
            agent_id: None,
            outcome: Outcome::Pending,
            reason: String::new(),
            detail: String::new(),
            created,
            ended: None,
            envelope: String::new(),
        }
    }

    /// The record of a verified command at its spoke.
    #[must_use]
    pub fn of_command(command: &VerifiedCommand, now: Timestamp) -> Self {
        Self {
            on_behalf_of: command.on_behalf_of().to_owned(),
            agent_id: command.agent().cloned(),
            ..Self::new(
                command.id(),
                command.kind(),
                Some(command.connection().clone()),
                now,
            )
        }
    }

    /// The same record, delivered.
    #[must_use]
    pub fn delivered(self, now: Timestamp) -> Self {
        Self {
            outcome: Outcome::Delivered,
            reason: String::new(),
            detail: String::new(),
            ended: Some(now),
            envelope: String::new(),
            ..self
        }
    }

    /// The same record, failed or refused for this reason.
    #[must_use]
    pub fn refused(self, refusal: &Refusal, now: Timestamp) -> Self {
        Self {
            outcome: Outcome::of(refusal.reason),
            reason: refusal.reason.to_string(),
            detail: refusal.message.clone(),
            ended: Some(now),
            envelope: String::new(),
            ..self
        }
    }

    /// Its key: `<connection>/<command id>`.
    #[must_use]
    pub fn key(&self) -> String {
        let connection = self.connection.as_ref().map_or(LOCAL, Alias::as_str);
        format!("{connection}/{}", self.command_id)
    }

    /// The write that stores it, for a batch that must be one.
    #[must_use]
    pub fn write(&self) -> Write {
        let value = serde_json::to_vec(self).unwrap_or_default(); // strings and times: cannot fail
        Write::Put(Table::Commands, self.key(), value)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

impl From<&CommandRecord> for pb::CommandRecord {
    fn from(record: &CommandRecord) -> Self {
        let outcome = match record.outcome {
            Outcome::Pending => CommandOutcome::Pending,
            Outcome::Delivered => CommandOutcome::Delivered,
            Outcome::Failed => CommandOutcome::Failed,
            Outcome::Refused => CommandOutcome::Refused,
        };
        let name = |alias: &Option<Alias>| alias.clone().map(String::from).unwrap_or_default();
        Self {
            command_id: record.command_id.to_string(),
            kind: kind::parse(&record.kind)
                .unwrap_or(CommandKind::Unspecified)
                .into(),
            connection_id: name(&record.connection),
            site: record.site.clone(),
            on_behalf_of: record.on_behalf_of.clone(),
            agent_id: record
                .agent_id
                .clone()
                .map(String::from)
                .unwrap_or_default(),
            outcome: outcome.into(),
            reason_code: record.reason.clone(),
            detail: record.detail.clone(),
            create_time: Some(timestamp(record.created)),
            end_time: record.ended.map(timestamp),
        }
    }
}

/// Keeps records in a store.
#[derive(Debug, Clone)]
pub struct Records {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

impl Records {
    /// Records in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Records a command before it is sent or done. A retry finds the record that is there.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn begin(&self, record: CommandRecord) -> Result<CommandRecord, Error> {
        let Write::Put(table, key, value) = record.write() else {
            return Ok(record);
        };
        match self
            .store
            .apply(vec![Write::Create(table, key, value)])
            .await
        {
            Ok(_) => Ok(record),
            Err(Error::Exists { value, .. }) => Ok(CommandRecord::parse(&value).unwrap_or(record)),
            Err(error) => Err(error),
        }
    }

    /// Records what became of it. What has once been delivered stays so.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn finish(
        &self,
        record: CommandRecord,
        outcome: Result<(), &Refusal>,
    ) -> Result<CommandRecord, Error> {
        let now = self.clock.now();
        let ended = match outcome {
            Ok(()) => record.delivered(now),
            Err(_) if record.outcome == Outcome::Delivered => return Ok(record),
            Err(refusal) => record.refused(refusal, now),
        };
        self.store.apply(vec![ended.write()]).await?;
        Ok(ended)
    }
}
