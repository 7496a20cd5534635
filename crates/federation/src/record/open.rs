//! Records without an outcome yet: what a hub has sent, or may have sent, and has no answer to.

use super::{CommandRecord, Outcome, Records};
use crate::issuer::SealedCommand;
use mosaic_common::ids::{hex, unhex};
use mosaic_common::proto::federation::v1::Envelope;
use mosaic_common::{Reason, Refusal};
use mosaic_store::{Error, Table, Write};
use prost::Message;

/// Rows read at a time while open records are looked for.
const PAGE: usize = 1000;

impl CommandRecord {
    /// The same record, open, of a command that is about to be sent in these bytes.
    #[must_use]
    pub fn sent_as(self, sealed: &SealedCommand) -> Self {
        Self {
            outcome: Outcome::Pending,
            reason: String::new(),
            detail: String::new(),
            ended: None,
            ..self.with_bytes(sealed)
        }
    }

    /// Whether it was sent before, without an answer.
    #[must_use]
    pub fn lacks_an_answer(&self) -> bool {
        self.outcome == Outcome::Pending && !self.reason.is_empty()
    }

    fn with_bytes(self, sealed: &SealedCommand) -> Self {
        Self {
            envelope: hex(&sealed.envelope().encode_to_vec()),
            ..self
        }
    }

    /// What was sent, if it is still kept.
    #[must_use]
    pub fn sealed(&self) -> Option<SealedCommand> {
        let envelope = Envelope::decode(&unhex(&self.envelope)?[..]).ok()?;
        SealedCommand::reopen(envelope)
    }
}

impl Records {
    /// Records a command that is about to be sent. One that was recorded before is open again,
    /// with the bytes that are sent now, unless it was delivered.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn begin_sent(
        &self,
        record: CommandRecord,
        sealed: &SealedCommand,
    ) -> Result<CommandRecord, Error> {
        let found = self.begin(record.sent_as(sealed)).await?;
        let is_same = |record: &CommandRecord| record.sealed().is_some_and(|was| was == *sealed);
        if found.outcome == Outcome::Delivered || is_same(&found) {
            return Ok(found);
        }
        let again = match found.outcome {
            // What was sent before may yet be done: whatever is heard now, that stays said.
            Outcome::Pending => Self::unanswered(found).with_bytes(sealed),
            Outcome::Delivered | Outcome::Failed | Outcome::Refused => found.sent_as(sealed),
        };
        self.store.apply(vec![again.write()]).await?;
        Ok(again)
    }

    fn unanswered(record: CommandRecord) -> CommandRecord {
        if !record.reason.is_empty() {
            return record;
        }
        CommandRecord {
            reason: Reason::SiteUnreachable.to_string(),
            detail: "an earlier sending of it has no answer".into(),
            ..record
        }
    }

    /// Every record without an outcome, oldest first.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn open(&self) -> Result<Vec<CommandRecord>, Error> {
        let mut before = None;
        let mut open = Vec::new();
        loop {
            let rows = self.store.scan(Table::Commands, before, PAGE).await?;
            let Some(last) = rows.last() else {
                open.reverse();
                return Ok(open);
            };
            before = Some(last.number);
            let records = rows
                .iter()
                .filter_map(|row| CommandRecord::parse(&row.value));
            open.extend(records.filter(|record| record.outcome == Outcome::Pending));
        }
    }

    /// A record as it is now, if it is still open and about the same bytes.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn still_open(&self, record: &CommandRecord) -> Result<Option<CommandRecord>, Error> {
        let value = self.store.get(Table::Commands, &record.key()).await?;
        let now = value.and_then(|value| CommandRecord::parse(&value));
        let is_it = |now: &CommandRecord| {
            now.outcome == Outcome::Pending && now.envelope == record.envelope
        };
        Ok(now.filter(is_it))
    }

    /// Says of an open record why there is no answer yet.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn note(&self, record: CommandRecord, why: &Refusal) -> Result<CommandRecord, Error> {
        let noted = CommandRecord {
            reason: why.reason.to_string(),
            detail: why.message.clone(),
            ..record
        };
        let write: Write = noted.write();
        self.store.apply(vec![write]).await?;
        Ok(noted)
    }
}
