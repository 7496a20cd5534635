//! The last commands that only read. They have no effect to repeat, so a bounded window is enough:
//! it lets a retry find its answer, and another request under the same id be seen.

use super::{Fingerprint, conflict};
use mosaic_common::Refusal;
use mosaic_common::proto::federation::v1::Envelope;
use std::collections::{HashMap, VecDeque};

/// How many commands are remembered: some minutes of a busy hub.
const ENTRIES_MAX: usize = 4096;

/// How many bytes of receipts are kept. Answers to lists can be large; the oldest go first.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A bounded window, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: HashMap<String, (Fingerprint, Option<Envelope>)>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    /// The receipt of the same command, if it was answered; an error if another one came.
    pub(super) fn find(
        &self,
        key: &str,
        fingerprint: Fingerprint,
    ) -> Result<Option<Envelope>, Refusal> {
        match self.entries.get(key) {
            Some((known, _)) if *known != fingerprint => Err(conflict()),
            Some((_, receipt)) => Ok(receipt.clone()),
            None => Ok(None),
        }
    }

    pub(super) fn remember(&mut self, key: &str, fingerprint: Fingerprint) {
        if self.entries.contains_key(key) {
            return;
        }
        self.entries.insert(key.to_owned(), (fingerprint, None));
        self.order.push_back(key.to_owned());
        self.shrink();
    }

    pub(super) fn answer(&mut self, key: &str, receipt: &Envelope) {
        if let Some((_, place)) = self.entries.get_mut(key) {
            self.bytes += size(Some(receipt));
            self.bytes -= size(place.replace(receipt.clone()).as_ref());
            self.shrink();
        }
    }

    pub(super) fn forget(&mut self, key: &str) {
        if let Some((_, receipt)) = self.entries.remove(key) {
            self.bytes -= size(receipt.as_ref());
            self.order.retain(|known| known != key);
        }
    }

    fn shrink(&mut self) {
        while self.order.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some((_, receipt)) = self.entries.remove(&oldest) {
                self.bytes -= size(receipt.as_ref());
            }
        }
    }
}

fn size(receipt: Option<&Envelope>) -> usize {
    receipt.map_or(0, |envelope| envelope.payload.len())
}
