//! What follows the doing: the receipt, the claim's answer, the record.

use super::Shared;
use crate::execute::Answer;
use crate::kind;
use crate::ledger::{Claim, ends_agents};
use crate::record::{CommandRecord, Records};
use crate::verify::{Proven, VerifiedCommand};
use mosaic_common::failpoint;
use mosaic_common::proto::MAX_ANSWER;
use mosaic_common::proto::federation::v1::Envelope;
use mosaic_common::{AgentId, Reason, Refusal};
use tracing::{error, info};

impl Shared {
    /// Step 12: signs what came of it, stores that, and only then lets it go.
    pub(super) async fn conclude(
        &self,
        command: &VerifiedCommand,
        claim: Claim,
        result: Result<Answer, Refusal>,
    ) -> Result<Envelope, Refusal> {
        let agent = match &result {
            Ok(answer) => answer.agent.as_ref().or(command.agent()),
            Err(_) => command.agent(),
        };
        let receipt = self.sign(command.proven(), agent, &result).await?;
        let now = self.clock.now();
        let record = CommandRecord::of_command(command, now);
        let record = match &result {
            Ok(_) => record.delivered(now),
            Err(refusal) => record.refused(refusal, now),
        };
        let is_read = kind::carriage(command.kind()) != Some(kind::Carriage::Act);
        let again = result
            .err()
            .is_some_and(|refusal| refusal.retry_after.is_some());
        let stored = if again {
            self.ledger.release(claim, &record).await
        } else {
            // one step: the other arm
            self.ledger.settle(claim, &receipt, &record).await
        };
        failpoint!("command.answered");
        if is_read {
            self.note_read(record).await;
        }
        match stored {
            // Who was killed stays dead, whether or not that could be written down.
            Err(_) if ends_agents(command.kind()) => Ok(receipt),
            stored => stored.map(|()| receipt),
        }
    }

    /// Answers a refusal from step 8 or later: its sender is proven, so it gets a receipt.
    pub(super) async fn refuse(
        &self,
        proven: &Proven,
        refusal: Refusal,
    ) -> Result<Envelope, Refusal> {
        info!(reason = %refusal.reason, "refused a command");
        let now = self.clock.now();
        self.note(record_of(proven, now).refused(&refusal, now))
            .await;
        self.sign(proven, None, &Err(refusal)).await
    }

    pub(super) async fn sign(
        &self,
        proven: &Proven,
        agent: Option<&AgentId>,
        result: &Result<Answer, Refusal>,
    ) -> Result<Envelope, Refusal> {
        let receipt = self.receipts.make(proven, agent, result).await;
        receipt.map_err(|error| {
            error!(
                error = &error as &dyn std::error::Error,
                "cannot number a receipt"
            );
            Refusal::new(Reason::StoreUnavailable, "the spoke's store cannot be used")
        })
    }

    /// Records a read beside its answer: it has no effect to be found out later, so its caller
    /// does not wait for the disk. A server that shuts down waits.
    pub(super) async fn note_read(&self, record: CommandRecord) {
        let room = self.unwritten.clone().acquire_owned().await; // never closed
        let records = self.records.clone();
        self.tasks.spawn(async move {
            note(&records, record).await;
            drop(room);
        });
    }

    /// Records what had no claim. A record of the same command that is there stays as it is.
    pub(super) async fn note(&self, record: CommandRecord) {
        note(&self.records, record).await;
    }
}

async fn note(records: &Records, record: CommandRecord) {
    if let Err(error) = records.begin(record).await {
        error!(
            error = &error as &dyn std::error::Error,
            "cannot record a command"
        );
    }
}

pub(super) fn record_of(proven: &Proven, now: jiff::Timestamp) -> CommandRecord {
    let connection = proven.connection.peer().id.clone();
    CommandRecord {
        on_behalf_of: proven.on_behalf_of.clone(),
        ..CommandRecord::new(proven.id, proven.kind, Some(connection), now)
    }
}

/// An answer that a hub will take.
pub(super) fn fitting(answer: Answer) -> Result<Answer, Refusal> {
    if answer.result.len() <= MAX_ANSWER {
        return Ok(answer);
    }
    let problem = format!("the answer is larger than {MAX_ANSWER} bytes; ask for less");
    Err(Refusal::new(Reason::Internal, problem))
}
