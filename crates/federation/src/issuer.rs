//! Signing commands, at the hub. The only place there that signs.
//!
//! What it signs is always a whole command of a typed request: no function takes bytes of a
//! caller's choice, so no caller can make it an oracle.

use crate::connection::SpokePeer;
use crate::identity::Identity;
use crate::kind::Request;
use crate::verify::{LIFETIME_MAX, is_traceparent};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use mosaic_common::envelope::{PROTOCOL, seal};
use mosaic_common::keys::{SigningKey, sha256};
use mosaic_common::proto::federation::v1::{Command, CommandKind, Envelope};
use mosaic_common::proto::{time, timestamp};
use mosaic_common::{Alias, Clock, CommandId};
use prost::Message;
use std::sync::Arc;

/// How long a command is valid unless said otherwise.
///
/// Long enough for a slow link and some skew; short, because a captured command is of use as long.
const LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// Signs commands in the name of one hub.
#[derive(Debug, Clone)]
pub struct Issuer {
    hub: Alias,
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
    lifetime: SignedDuration,
}

/// Who asked, and as part of what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The hub's client, for the record; at most 256 bytes without control characters.
    pub on_behalf_of: String,
    /// W3C Trace Context; empty for none. One that is malformed is left out.
    pub traceparent: String,
}

/// A signed command, ready to be sent any number of times before it expires.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedCommand {
    command: Command,
    id: CommandId,
    kind: CommandKind,
    body_sha256: [u8; 32],
    expires_at: Timestamp,
    envelope: Envelope,
}

impl Issuer {
    /// The issuer of this identity.
    #[must_use]
    pub fn new(identity: &Identity, clock: Arc<dyn Clock>) -> Self {
        Self {
            hub: identity.id().clone(),
            key: identity.signing().clone(),
            clock,
            lifetime: LIFETIME,
        }
    }

    /// The same issuer, its commands valid for this long: a second at least, five minutes at most.
    #[must_use]
    pub fn with_lifetime(self, lifetime: SignedDuration) -> Self {
        let lifetime = lifetime.clamp(SignedDuration::from_secs(1), LIFETIME_MAX);
        Self { lifetime, ..self }
    }

    /// Signs a request as a command for one spoke.
    #[must_use]
    pub fn command<R: Request>(
        &self,
        to: &SpokePeer,
        id: CommandId,
        request: &R,
        origin: &Origin,
    ) -> SealedCommand {
        let plain = origin.on_behalf_of.chars().filter(|c| !c.is_control());
        let traceparent = Some(&origin.traceparent).filter(|text| is_traceparent(text));
        let command = Command {
            protocol: PROTOCOL,
            issuer: self.hub.to_string(),
            audience: to.spoke.to_string(),
            connection_id: to.id.to_string(),
            connection_epoch: to.epoch,
            command_id: Bytes::copy_from_slice(id.as_bytes()),
            issued_at: None,
            expires_at: None,
            critical_features: Vec::new(),
            on_behalf_of: shorten(plain),
            traceparent: traceparent.cloned().unwrap_or_default(),
            kind: R::KIND.into(),
            body: request.encode_to_vec().into(),
        };
        self.sign(command, id, R::KIND)
    }

    /// Signs the same command anew, with the same id and the very same body bytes: for a retry
    /// after it expired.
    #[must_use]
    pub fn renew(&self, sealed: &SealedCommand) -> SealedCommand {
        self.sign(sealed.command.clone(), sealed.id, sealed.kind)
    }

    fn sign(&self, mut command: Command, id: CommandId, kind: CommandKind) -> SealedCommand {
        let issued_at = self.clock.now();
        let expires_at = issued_at + self.lifetime;
        command.issued_at = Some(timestamp(issued_at));
        command.expires_at = Some(timestamp(expires_at));
        SealedCommand {
            envelope: seal(&command, &self.key),
            body_sha256: sha256(&command.body),
            command,
            id,
            kind,
            expires_at,
        }
    }
}

impl SealedCommand {
    /// What this hub signed earlier and kept in its own store. `None` if it is not whole.
    #[must_use]
    pub fn reopen(envelope: Envelope) -> Option<Self> {
        let command = Command::decode(envelope.payload.clone()).ok()?;
        Some(Self {
            id: CommandId::try_from(&command.command_id[..]).ok()?,
            kind: command.kind(),
            body_sha256: sha256(&command.body),
            expires_at: time(command.expires_at.as_ref()?)?,
            command,
            envelope,
        })
    }

    /// The connection's epoch that it is for.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.command.connection_epoch
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

    /// The SHA-256 of its body: what a receipt must name.
    #[must_use]
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }

    /// When it is void.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// What travels.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// At most 256 bytes of it, cut between characters: what a spoke accepts.
fn shorten(text: impl Iterator<Item = char>) -> String {
    text.scan(0, |length, c| {
        *length += c.len_utf8();
        (*length <= 256).then_some(c)
    })
    .collect()
}
