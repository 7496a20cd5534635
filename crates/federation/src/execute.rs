//! What a spoke does with a command once it is proven.

use crate::verify::VerifiedCommand;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use mosaic_common::{AgentId, Refusal};
use std::fmt::Debug;

/// A spoke's side of a verified command.
///
/// The verifier has checked every name that a command holds against the grant. A name that a
/// spawn leaves open becomes the spoke's default here, and is then to be checked with
/// [`Grant::check_spec`](crate::connection::Grant::check_spec); wanted limits are to be lowered
/// with [`Limits::at_most`](mosaic_common::agent::Limits::at_most).
///
/// Execution is idempotent by the command's ids: one that a crash cut off is executed again.
#[async_trait::async_trait]
pub trait Execute: Debug + Send + Sync {
    /// Says whether a command would be refused now. It has no effect; it is asked before the claim,
    /// so that a refusal for want of room leaves nothing behind.
    ///
    /// # Errors
    /// The refusal.
    fn admit(&self, command: &VerifiedCommand) -> Result<(), Refusal>;

    /// Carries out a command that has been claimed. Runs to its end even if the hub hangs up.
    ///
    /// # Errors
    /// The refusal. One with a retry hint leaves no claim: the same command id may come again.
    async fn execute(&self, command: &VerifiedCommand) -> Result<Answer, Refusal>;

    /// Opens the stream a command asks for: watch, logs or result. Each item is one encoded
    /// response message of its kind.
    ///
    /// # Errors
    /// The refusal.
    async fn open(
        &self,
        command: &VerifiedCommand,
    ) -> Result<BoxStream<'static, Result<Bytes, Refusal>>, Refusal>;
}

/// What a receipt shall say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The agent it was about.
    pub agent: Option<AgentId>,
    /// The encoded response message of the command's kind.
    pub result: Bytes,
}
