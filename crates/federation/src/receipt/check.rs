//! Checking receipts, at the hub. A spoke's answer is believed only if it is signed by the key
//! pinned for it and says itself which command, body and connection it is about.

use crate::connection::SpokePeer;
use crate::issuer::SealedCommand;
use bytes::Bytes;
use mosaic_common::envelope::{OpenError, PROTOCOL, open};
use mosaic_common::proto::MAX_ANSWER;
use mosaic_common::proto::federation::v1::{Envelope, Receipt, ReceiptStatus};
use mosaic_common::{AgentId, Alias, CommandId, Reason, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many sequences of a connection are remembered: far more answers than can be on their way
/// at a time, so that only a spoke that counts wrongly is ever caught.
const WINDOW: usize = 4096;

/// Longest text of a spoke that is passed on, in characters.
const MESSAGE_MAX: usize = 1024;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Larger than any answer.
    #[error("the receipt is larger than an answer may be")]
    TooLarge,
    /// Not signed by the spoke, or not a receipt.
    #[error("the receipt does not open: {0}")]
    Open(#[from] OpenError),
    /// Another version of the protocol.
    #[error("protocol version is not {PROTOCOL}")]
    Protocol,
    /// Made by another spoke.
    #[error("issuer is not the spoke of this connection")]
    Issuer,
    /// Made for another hub.
    #[error("audience is another hub")]
    Audience,
    /// Made for another connection.
    #[error("connection id is not the one of this connection")]
    Connection,
    /// Made for another establishing of this connection.
    #[error("connection epoch is not the current one")]
    Epoch,
    /// About another command.
    #[error("command id is not the one of the command sent")]
    Command,
    /// About another body under the same command id.
    #[error("request digest is not the one of the body sent")]
    Request,
    /// Its number is 0, or was used for another command: the spoke has lost count.
    #[error("sequence {0} is not a fresh one")]
    Sequence(u64),
    /// A field holds what it must not.
    #[error("{0} is malformed")]
    Field(&'static str),
}

impl From<ReceiptError> for Refusal {
    fn from(error: ReceiptError) -> Self {
        let text = format!("the site's receipt does not prove itself: {error}");
        Self::new(Reason::ReceiptInvalid, text)
    }
}

/// Checks the receipts that come to one hub.
#[derive(Debug)]
pub struct ReceiptChecker {
    hub: Alias,
    seen: Mutex<HashMap<(Alias, u64), BTreeMap<u64, CommandId>>>,
}

impl ReceiptChecker {
    /// A checker for the hub of this id.
    #[must_use]
    pub fn new(hub: Alias) -> Self {
        Self {
            hub,
            seen: Mutex::default(),
        }
    }

    /// Checks what `spoke` answered to `command`.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check(
        &self,
        spoke: &SpokePeer,
        command: &SealedCommand,
        envelope: &Envelope,
    ) -> Result<Receipt, ReceiptError> {
        if envelope.payload.len() > MAX_ANSWER {
            return Err(ReceiptError::TooLarge);
        }
        let key = spoke.signing_key;
        let receipt: Receipt = open(envelope, |hint| (*hint == key.id()).then_some(key))?;
        self.check_parties(spoke, &receipt)?;
        if receipt.command_id != command.id().as_bytes()[..] {
            return Err(ReceiptError::Command);
        }
        if receipt.request_sha256 != command.body_sha256()[..] {
            return Err(ReceiptError::Request);
        }
        check_fields(&receipt)?;
        self.check_sequence(spoke, command.id(), receipt.sequence)?;
        Ok(receipt)
    }

    fn check_parties(&self, spoke: &SpokePeer, receipt: &Receipt) -> Result<(), ReceiptError> {
        if receipt.protocol != PROTOCOL {
            return Err(ReceiptError::Protocol);
        }
        if receipt.issuer != spoke.spoke.as_str() {
            return Err(ReceiptError::Issuer);
        }
        if receipt.audience != self.hub.as_str() {
            return Err(ReceiptError::Audience);
        }
        if receipt.connection_id != spoke.id.as_str() {
            return Err(ReceiptError::Connection);
        }
        if receipt.connection_epoch != spoke.epoch {
            return Err(ReceiptError::Epoch);
        }
        Ok(())
    }

    /// Answers cross each other on the way, and a repeat brings an old receipt again: so a
    /// number need not be above the last one, but it never stands for two commands.
    fn check_sequence(
        &self,
        spoke: &SpokePeer,
        command: CommandId,
        sequence: u64,
    ) -> Result<(), ReceiptError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let window = seen.entry((spoke.id.clone(), spoke.epoch)).or_default();
        let known = *window.entry(sequence).or_insert(command);
        if window.len() > WINDOW {
            window.pop_first();
        }
        if sequence == 0 || known != command {
            return Err(ReceiptError::Sequence(sequence));
        }
        Ok(())
    }
}

fn check_fields(receipt: &Receipt) -> Result<(), ReceiptError> {
    let is_ok = match ReceiptStatus::try_from(receipt.status) {
        Ok(ReceiptStatus::Ok) => true,
        Ok(ReceiptStatus::Refused | ReceiptStatus::Failed) => false,
        Ok(ReceiptStatus::Unspecified) | Err(_) => return Err(ReceiptError::Field("status")),
    };
    let is_code = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let code = &receipt.reason_code;
    if is_ok != code.is_empty() || code.len() > 64 || !code.bytes().all(is_code) {
        return Err(ReceiptError::Field("reason_code"));
    }
    if !receipt.agent_id.is_empty() && receipt.agent_id.parse::<AgentId>().is_err() {
        return Err(ReceiptError::Field("agent_id"));
    }
    if !is_ok && !receipt.result.is_empty() {
        return Err(ReceiptError::Field("result"));
    }
    Ok(())
}

/// What a checked receipt says: the encoded response, or why there is none.
///
/// # Errors
/// The spoke's refusal. Its text is cleaned of control characters and cut to a sane length.
pub fn answer(receipt: &Receipt) -> Result<Bytes, Refusal> {
    if receipt.status() == ReceiptStatus::Ok {
        return Ok(receipt.result.clone());
    }
    let text = receipt.message.chars().filter(|c| !c.is_control());
    let text: String = text.take(MESSAGE_MAX).collect();
    let refusal = match receipt.reason_code.parse::<Reason>() {
        Ok(reason) => Refusal::new(reason, text),
        // A newer spoke may know reasons that we do not.
        Err(()) => Refusal::new(
            Reason::Internal,
            format!("the site says {}: {text}", receipt.reason_code),
        ),
    };
    Err(match receipt.retry_after_ms {
        0 => refusal,
        wait => refusal.retry_after(Duration::from_millis(wait.into())),
    })
}
