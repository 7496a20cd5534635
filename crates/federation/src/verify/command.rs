//! The type that stands for a command which has passed every step.

use super::Proven;
use crate::connection::Grant;
use bytes::Bytes;
use jiff::Timestamp;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{AgentId, Alias, CommandId};

/// A command that has passed every step. The verifier makes them, and nobody else can.
///
/// `Execute::admit` sees it once before the tenth step, the claim.
#[derive(Debug, Clone)]
pub struct VerifiedCommand {
    proven: Proven,
    agent: Option<AgentId>,
}

impl VerifiedCommand {
    pub(super) fn new(proven: Proven, agent: Option<AgentId>) -> Self {
        Self { proven, agent }
    }

    /// One that passed no step, for the ledger's own tests.
    #[cfg(test)]
    pub(crate) fn unverified(proven: Proven) -> Self {
        Self {
            proven,
            agent: None,
        }
    }

    pub(crate) fn proven(&self) -> &Proven {
        &self.proven
    }

    /// The connection it came over.
    #[must_use]
    pub fn connection(&self) -> &Alias {
        &self.proven.connection.peer().id
    }

    /// Which establishing of the connection.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.proven.connection.peer().epoch
    }

    /// The hub that signed it.
    #[must_use]
    pub fn hub(&self) -> &Alias {
        &self.proven.connection.peer().hub
    }

    /// What that hub may ask for, as it was when the command was verified.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.proven.connection.peer().grant
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> CommandId {
        self.proven.id
    }

    /// What is asked.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        self.proven.kind
    }

    /// The encoded request that the kind names. It has been decoded once: it can be.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.proven.body
    }

    /// The SHA-256 of the body.
    #[must_use]
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.proven.body_sha256
    }

    /// The agent it is about; for a spawn that named none, the one its id makes.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }

    /// When it was signed.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.proven.issued_at
    }

    /// When it is void.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.proven.expires_at
    }

    /// The hub's client.
    #[must_use]
    pub fn on_behalf_of(&self) -> &str {
        &self.proven.on_behalf_of
    }

    /// Its W3C Trace Context; empty for none.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.proven.traceparent
    }
}
