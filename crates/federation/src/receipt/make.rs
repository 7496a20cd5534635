//! Making receipts, at the spoke. The only place there that signs.

use super::sequence::Sequences;
use crate::execute::Answer;
use crate::record;
use crate::verify::Proven;
use bytes::Bytes;
use mosaic_common::envelope::{PROTOCOL, seal};
use mosaic_common::keys::SigningKey;
use mosaic_common::proto::federation::v1::{Envelope, Receipt, ReceiptStatus};
use mosaic_common::proto::timestamp;
use mosaic_common::{AgentId, Alias, Clock, Refusal};
use mosaic_store::{Error, StateStore};
use std::sync::Arc;

/// Signs receipts in the name of one spoke.
#[derive(Debug)]
pub(crate) struct Receipts {
    spoke: Alias,
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
    sequences: Sequences,
}

impl Receipts {
    pub(crate) fn new(
        spoke: Alias,
        key: Arc<SigningKey>,
        clock: Arc<dyn Clock>,
        store: Arc<dyn StateStore>,
    ) -> Self {
        Self {
            spoke,
            key,
            clock,
            sequences: Sequences::new(store),
        }
    }

    /// Makes the receipt of a command that came to `result`; a refusal is about `agent`.
    ///
    /// # Errors
    /// If no sequence can be given because the store cannot be used.
    pub(crate) async fn make(
        &self,
        command: &Proven,
        agent: Option<&AgentId>,
        result: &Result<Answer, Refusal>,
    ) -> Result<Envelope, Error> {
        let connection = command.connection.peer();
        let sequence = self.sequences.next(&connection.id).await?;
        let receipt = Receipt {
            protocol: PROTOCOL,
            request_sha256: Bytes::copy_from_slice(&command.body_sha256),
            command_id: Bytes::copy_from_slice(command.id.as_bytes()),
            issuer: self.spoke.to_string(),
            audience: connection.hub.to_string(),
            connection_id: connection.id.to_string(),
            connection_epoch: connection.epoch,
            sequence,
            agent_id: agent.map(ToString::to_string).unwrap_or_default(),
            issued_at: Some(timestamp(self.clock.now())),
            ..outcome(result)
        };
        Ok(seal(&receipt, &self.key))
    }
}

/// The fields that say what became of it.
fn outcome(result: &Result<Answer, Refusal>) -> Receipt {
    match result {
        Ok(answer) => Receipt {
            status: ReceiptStatus::Ok.into(),
            result: answer.result.clone(),
            ..Receipt::default()
        },
        Err(refusal) => Receipt {
            status: if record::is_failure(refusal.reason) {
                ReceiptStatus::Failed.into()
            } else {
                ReceiptStatus::Refused.into()
            },
            reason_code: refusal.reason.to_string(),
            message: refusal.message.clone(),
            retry_after_ms: refusal.retry_after.map_or(0, |wait| {
                // A hint below a millisecond is still a hint.
                u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
            }),
            ..Receipt::default()
        },
    }
}
