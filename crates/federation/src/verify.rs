//! The ten steps between a peer's bytes and a command that may be carried out.

use bytes::Bytes;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{Alias, CommandId};

/// A command that has passed every step. This module makes them, and nobody else can.
#[derive(Debug, Clone)]
pub struct VerifiedCommand {
    connection: Alias,
    id: CommandId,
    kind: CommandKind,
    body: Bytes,
    on_behalf_of: String,
}

impl VerifiedCommand {
    /// The connection it came over.
    #[must_use]
    pub fn connection(&self) -> &Alias {
        &self.connection
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// What is asked.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        self.kind
    }

    /// The encoded request that the kind names.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The hub's client.
    #[must_use]
    pub fn on_behalf_of(&self) -> &str {
        &self.on_behalf_of
    }
}
