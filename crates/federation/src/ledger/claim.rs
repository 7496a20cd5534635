//! One claim: what is compared, what is stored, and the mark that it is being worked on.

use super::{conflict, in_progress};
use crate::kind;
use crate::verify::VerifiedCommand;
use jiff::Timestamp;
use mosaic_common::ids::{hex, unhex};
use mosaic_common::proto::federation::v1::{CommandKind, Envelope};
use mosaic_common::{AgentId, Refusal};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, hash_map::Entry};
use std::sync::{Arc, Mutex, PoisonError};

/// What makes two commands of one id the same: kind and body.
///
/// The body alone would not do: kill-all and release may both have an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    kind: CommandKind,
    body_sha256: [u8; 32],
}

impl Fingerprint {
    pub(super) fn of(command: &VerifiedCommand) -> Self {
        Self {
            kind: command.kind(),
            body_sha256: *command.body_sha256(),
        }
    }
}

/// A claim as it is stored. Without a receipt it is in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredClaim {
    kind: String,
    body_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<AgentId>,
    time: Timestamp,
    /// The encoded envelope, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

impl StoredClaim {
    pub(super) fn new(command: &VerifiedCommand, now: Timestamp) -> Self {
        Self {
            kind: kind::name(command.kind()).to_owned(),
            body_sha256: hex(command.body_sha256()),
            agent_id: command.agent().cloned(),
            time: now,
            receipt: None,
        }
    }

    /// `None` if it cannot be read.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let stored: Self = serde_json::from_slice(value).ok()?;
        (stored.receipt.is_none() || stored.receipt().is_some()).then_some(stored)
    }

    pub(super) fn render(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // strings and a time: it cannot fail
    }

    pub(super) fn is_of(&self, fingerprint: Fingerprint) -> bool {
        self.kind == kind::name(fingerprint.kind)
            && self.body_sha256 == hex(&fingerprint.body_sha256)
    }

    pub(super) fn receipt(&self) -> Option<Envelope> {
        let bytes = unhex(self.receipt.as_deref()?)?;
        Envelope::decode(&bytes[..]).ok()
    }

    pub(super) fn answered(&self, receipt: &Envelope) -> Self {
        Self {
            receipt: Some(hex(&receipt.encode_to_vec())),
            ..self.clone()
        }
    }

    /// Whether it is older than `limit` and its agent, if any, is no longer alive.
    pub(super) fn may_go(&self, limit: Timestamp, alive: impl Fn(&AgentId) -> bool) -> bool {
        self.time < limit && !self.agent_id.as_ref().is_some_and(alive)
    }
}

/// A claimed command, until it is settled, released or dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    running: Running,
    stored: Option<StoredClaim>,
}

impl Claim {
    pub(super) fn durable(running: Running, stored: StoredClaim) -> Self {
        Self {
            running,
            stored: Some(stored),
        }
    }

    pub(super) fn in_memory(running: Running) -> Self {
        Self {
            running,
            stored: None,
        }
    }

    pub(super) fn key(&self) -> &str {
        self.running.key()
    }

    pub(super) fn stored(&self) -> Option<&StoredClaim> {
        self.stored.as_ref()
    }
}

/// The mark that a command is being worked on in this process. Dropping it takes it off.
#[derive(Debug)]
pub(super) struct Running {
    all: Arc<Mutex<HashMap<String, Fingerprint>>>,
    key: String,
}

impl Running {
    pub(super) fn start(
        all: &Arc<Mutex<HashMap<String, Fingerprint>>>,
        key: &str,
        fingerprint: Fingerprint,
    ) -> Result<Self, Refusal> {
        let mut map = all.lock().unwrap_or_else(PoisonError::into_inner);
        match map.entry(key.to_owned()) {
            Entry::Occupied(other) if *other.get() == fingerprint => return Err(in_progress()),
            Entry::Occupied(_) => return Err(conflict()),
            Entry::Vacant(place) => place.insert(fingerprint),
        };
        Ok(Self {
            all: all.clone(),
            key: key.to_owned(),
        })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut map = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        map.remove(&self.key);
    }
}
