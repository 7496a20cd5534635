//! The local operator's commands in the same record as those of hubs.

use crate::grpc::Caller;
use crate::journal::unavailable;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{Clock, CommandId, Refusal};
use mosaic_federation::kind::{self, Carriage};
use mosaic_federation::record::{CommandRecord, Records};
use std::sync::Arc;

/// Records what the local operator asks, and what became of it.
#[derive(Debug, Clone)]
pub struct LocalAudit {
    records: Records,
    clock: Arc<dyn Clock>,
}

/// What was asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Under which id.
    pub id: CommandId,
    /// Of which kind.
    pub kind: CommandKind,
    /// About which agent; empty for none.
    pub agent: &'a str,
}

impl LocalAudit {
    /// Records in the same place as the federation server's.
    #[must_use]
    pub fn new(records: Records, clock: Arc<dyn Clock>) -> Self {
        Self { records, clock }
    }

    /// Records a command before it is done. One that only reads is recorded with its outcome:
    /// it has no effect to be found out later.
    ///
    /// # Errors
    /// If a command with an effect cannot be recorded; but a kill goes on without.
    pub async fn begin(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
    ) -> Result<CommandRecord, Refusal> {
        let record = CommandRecord {
            on_behalf_of: caller.name(),
            agent_id: asked.agent.parse().ok(),
            ..CommandRecord::new(asked.id, asked.kind, None, self.clock.now())
        };
        if kind::carriage(asked.kind) != Some(Carriage::Act) {
            return Ok(record);
        }
        match self.records.begin(record.clone()).await {
            Ok(begun) => Ok(begun),
            Err(error) if asked.kind == CommandKind::Spawn => Err(unavailable(&error)),
            Err(error) => {
                drop(unavailable(&error)); // logged; control works without the store
                Ok(record)
            }
        }
    }

    /// Records what became of a command, behind its answer.
    pub async fn finish(&self, record: CommandRecord, refusal: Option<&Refusal>) {
        let (records, refusal) = (self.records.clone(), refusal.cloned());
        tokio::spawn(async move {
            if let Err(error) = records
                .finish(record, refusal.as_ref().map_or(Ok(()), Err))
                .await
            {
                drop(unavailable(&error));
            }
        });
    }
}
