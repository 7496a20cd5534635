//! Steps 3 to 7: the envelope, the key, the signature, the payload, the four-way identity.
//!
//! Pure: no clock, no store, no policy. What fails here has no proven sender.

use super::Call;
use crate::connection::{HubPeer, Live};
use crate::kind;
use bytes::Bytes;
use jiff::Timestamp;
use mosaic_common::envelope::{OpenError, PROTOCOL, open};
use mosaic_common::keys::sha256;
use mosaic_common::proto::federation::v1::{Command, CommandKind, Envelope};
use mosaic_common::proto::{MAX_MESSAGE, time};
use mosaic_common::{Alias, CommandId, Reason, Refusal};
use std::sync::Arc;

/// Longest `on_behalf_of`, in bytes: a name for the record, not a place to keep data.
const ON_BEHALF_OF_MAX: usize = 256;

/// A command whose sender is proven, and nothing more.
#[derive(Debug, Clone)]
pub struct Proven {
    pub(crate) connection: Arc<Live<HubPeer>>,
    pub(crate) id: CommandId,
    pub(crate) kind: CommandKind,
    pub(crate) body: Bytes,
    pub(crate) body_sha256: [u8; 32],
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) on_behalf_of: String,
    pub(crate) traceparent: String,
}

/// Why a command could not be attributed. For the spoke's log: its sender hears only *rejected*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The peer's connection is not one that may speak.
    #[error("the connection is not active")]
    NotUsable,
    /// There is no envelope, or it is too large.
    #[error("no envelope of an acceptable size")]
    Envelope,
    /// The envelope does not open.
    #[error("the envelope does not open: {0}")]
    Open(#[from] OpenError),
    /// The command speaks another version.
    #[error("protocol version is not {PROTOCOL}")]
    Protocol,
    /// The command needs a feature that is not known here.
    #[error("a critical feature is unknown")]
    CriticalFeature,
    /// The kind is unknown, or the call cannot carry it.
    #[error("kind of command is unknown or not one of this call")]
    Kind,
    /// A field is malformed.
    #[error("{0} is malformed")]
    Field(&'static str),
    /// Signed for another hub's name.
    #[error("issuer is not the hub of this connection")]
    Issuer,
    /// Meant for another spoke.
    #[error("audience is another spoke")]
    Audience,
    /// Made for another connection.
    #[error("connection id is not the one of this connection")]
    Connection,
    /// Made for another establishing of this connection.
    #[error("connection epoch is not the current one")]
    Epoch,
}

impl From<Rejection> for Refusal {
    /// The same for every rejection: a forger learns nothing from it.
    fn from(_: Rejection) -> Self {
        let text = "the command could not be attributed to this connection; \
                    the spoke's log says which check failed";
        Self::new(Reason::CommandRejected, text)
    }
}

pub(super) fn prove(
    spoke: &Alias,
    connection: Arc<Live<HubPeer>>,
    call: Call,
    envelope: &Envelope,
) -> Result<Proven, Rejection> {
    if envelope.payload.len() > MAX_MESSAGE {
        return Err(Rejection::Envelope);
    }
    let key = connection.peer().signing_key;
    let command: Command = open(envelope, |hint| (*hint == key.id()).then_some(key))?;
    let fields = Fields::parse(&command, call)?;
    check_parties(&command, spoke, connection.peer())?;
    Ok(Proven {
        connection,
        id: fields.id,
        kind: fields.kind,
        body_sha256: sha256(&command.body),
        body: command.body,
        issued_at: fields.issued_at,
        expires_at: fields.expires_at,
        on_behalf_of: command.on_behalf_of,
        traceparent: command.traceparent,
    })
}

/// What step 6 makes of a payload.
struct Fields {
    id: CommandId,
    kind: CommandKind,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

impl Fields {
    fn parse(command: &Command, call: Call) -> Result<Self, Rejection> {
        if command.protocol != PROTOCOL {
            return Err(Rejection::Protocol);
        }
        // None is defined yet, so each one that is named is unknown.
        if !command.critical_features.is_empty() {
            return Err(Rejection::CriticalFeature);
        }
        let kind = CommandKind::try_from(command.kind).map_err(|_| Rejection::Kind)?;
        let carriage = kind::carriage(kind).ok_or(Rejection::Kind)?;
        if !call.carries(carriage) {
            return Err(Rejection::Kind);
        }
        let at = |wire: &Option<_>| wire.as_ref().and_then(time);
        if !is_plain(&command.on_behalf_of, ON_BEHALF_OF_MAX) {
            return Err(Rejection::Field("on_behalf_of"));
        }
        if !command.traceparent.is_empty() && !is_traceparent(&command.traceparent) {
            return Err(Rejection::Field("traceparent"));
        }
        Ok(Self {
            id: CommandId::try_from(command.command_id.as_ref())
                .map_err(|_| Rejection::Field("command_id"))?,
            kind,
            issued_at: at(&command.issued_at).ok_or(Rejection::Field("issued_at"))?,
            expires_at: at(&command.expires_at).ok_or(Rejection::Field("expires_at"))?,
        })
    }
}

/// Step 7: the TLS peer and the owner of the key are `hub` already; what is signed must agree.
fn check_parties(command: &Command, spoke: &Alias, hub: &HubPeer) -> Result<(), Rejection> {
    if command.issuer != hub.hub.as_str() {
        return Err(Rejection::Issuer);
    }
    if command.audience != spoke.as_str() {
        return Err(Rejection::Audience);
    }
    if command.connection_id != hub.id.as_str() {
        return Err(Rejection::Connection);
    }
    if command.connection_epoch != hub.epoch {
        return Err(Rejection::Epoch);
    }
    Ok(())
}

fn is_plain(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.chars().any(char::is_control)
}

/// `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context, version 00).
pub(crate) fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, span, flags]
        if is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::is_traceparent;

    #[test]
    fn a_traceparent_has_the_form_of_version_00() {
        assert!(is_traceparent(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        ));
        for text in [
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "\n",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }
}
