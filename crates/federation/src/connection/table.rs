//! The connections as they are now. Everything that asks is answered from one snapshot,
//! and what a change forbids is cut at once.

use super::{ConnectionState, Contact, Peer};
use crate::tls::{Pins, TlsKey};
use arc_swap::ArcSwap;
use mosaic_common::Alias;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A table of connections that can be replaced while it is in use.
#[derive(Debug)]
pub struct Connections<P> {
    now: ArcSwap<Vec<Arc<Live<P>>>>,
    /// One replacement at a time: each carries over what the one before left.
    replacing: Mutex<()>,
    changes: watch::Sender<()>,
}

/// A connection of the table, and the tokens that cut what depends on it.
#[derive(Debug)]
pub struct Live<P> {
    peer: P,
    usable: CancellationToken,
    active: CancellationToken,
    contact: Arc<Contact>,
}

impl<P> Live<P> {
    /// The connection, as it was when this was looked up.
    #[must_use]
    pub fn peer(&self) -> &P {
        &self.peer
    }

    /// When something of the peer last came.
    #[must_use]
    pub fn contact(&self) -> &Arc<Contact> {
        &self.contact
    }

    /// Cancelled when the peer may no longer connect: TLS connections end then.
    #[must_use]
    pub fn while_usable(&self) -> &CancellationToken {
        &self.usable
    }

    /// Cancelled when the connection is no longer active: streams end then.
    #[must_use]
    pub fn while_active(&self) -> &CancellationToken {
        &self.active
    }
}

impl<P: Peer> Connections<P> {
    /// A table of these connections, as a file was parsed to.
    #[must_use]
    pub fn new(peers: Vec<P>) -> Self {
        let table = Self {
            now: ArcSwap::default(),
            replacing: Mutex::new(()),
            changes: watch::Sender::new(()),
        };
        table.replace(peers);
        table
    }

    /// Puts these connections in the place of all others. It holds for the next message; TLS
    /// connections and streams that these no longer allow are cut.
    pub fn replace(&self, peers: Vec<P>) {
        let one_at_a_time = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.now.load_full();
        let next: Vec<_> = peers
            .into_iter()
            .map(|peer| Arc::new(carry_over(&before, peer)))
            .collect();
        self.now.store(Arc::new(next));
        // Only after the table has changed: who is cut must not find the old state.
        let now = self.now.load();
        for old in before.iter() {
            let new = now.iter().find(|live| same(&live.peer, &old.peer));
            let state = new.map_or(ConnectionState::Revoked, |live| live.peer.state());
            if !state.is_usable() {
                old.usable.cancel();
            }
            if state != ConnectionState::Active {
                old.active.cancel();
            }
        }
        drop(one_at_a_time);
        self.changes.send_replace(());
    }

    /// The connection whose peer speaks TLS with this key.
    #[must_use]
    pub fn by_tls_key(&self, key: &TlsKey) -> Option<Arc<Live<P>>> {
        self.find(|peer| peer.tls_key() == key)
    }

    /// The connection of this id.
    #[must_use]
    pub fn by_id(&self, id: &Alias) -> Option<Arc<Live<P>>> {
        self.find(|peer| peer.id() == id)
    }

    /// The first connection that fits, in the order of the configuration.
    pub fn find(&self, fits: impl Fn(&P) -> bool) -> Option<Arc<Live<P>>> {
        self.now
            .load()
            .iter()
            .find(|live| fits(&live.peer))
            .cloned()
    }

    /// Every connection, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> Arc<Vec<Arc<Live<P>>>> {
        self.now.load_full()
    }

    /// Wakes its holder after every replacement.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl<P: Peer> Pins for Connections<P> {
    fn admits(&self, key: &TlsKey) -> bool {
        self.by_tls_key(key)
            .is_some_and(|live| live.peer.state().is_usable())
    }
}

/// Whether two entries are the same establishing with the same keys.
fn same<P: Peer>(a: &P, b: &P) -> bool {
    a.id() == b.id()
        && a.epoch() == b.epoch()
        && a.tls_key() == b.tls_key()
        && a.signing_key() == b.signing_key()
}

/// The new entry, on the tokens of the old one as far as they still hold.
fn carry_over<P: Peer>(before: &[Arc<Live<P>>], peer: P) -> Live<P> {
    let old = before.iter().find(|live| same(&live.peer, &peer));
    let kept = |token: fn(&Live<P>) -> &CancellationToken, holds: bool| {
        let token = old.map(|live| token(live).clone());
        match token.filter(|token| !token.is_cancelled()) {
            Some(token) => token,
            None => {
                let token = CancellationToken::new();
                if !holds {
                    token.cancel();
                }
                token
            }
        }
    };
    Live {
        usable: kept(|live| &live.usable, peer.state().is_usable()),
        contact: old.map(|live| live.contact.clone()).unwrap_or_default(),
        active: kept(|live| &live.active, peer.state() == ConnectionState::Active),
        peer,
    }
}
