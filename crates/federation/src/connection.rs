//! Connections: the trust between one hub and one spoke, as each side holds its half.
//!
//! Owns the two halves, their file form, and the live table. It never dials and never listens.

mod contact;
mod file;
mod grant;
mod table;

pub use contact::Contact;
pub use file::{
    ConnectionsError, load_hubs, load_spokes, parse_hubs, parse_spokes, render_hubs, render_spokes,
};
pub use grant::Grant;
pub use table::{Connections, Live};

use crate::tls::TlsKey;
use mosaic_common::Alias;
use mosaic_common::keys::VerifyingKey;
use mosaic_common::proto::federation::v1 as pb;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};

/// State of a connection: *pending → active ⇄ suspended → revoked*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// Known, not yet approved: nothing passes.
    Pending,
    /// In use.
    Active,
    /// Status and kill only.
    Suspended,
    /// Over, for good: nothing passes.
    Revoked,
}

impl ConnectionState {
    /// Whether the peer may connect at all.
    #[must_use]
    pub fn is_usable(self) -> bool {
        match self {
            Self::Active | Self::Suspended => true,
            Self::Pending | Self::Revoked => false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl From<ConnectionState> for pb::ConnectionState {
    fn from(state: ConnectionState) -> Self {
        match state {
            ConnectionState::Pending => Self::Pending,
            ConnectionState::Active => Self::Active,
            ConnectionState::Suspended => Self::Suspended,
            ConnectionState::Revoked => Self::Revoked,
        }
    }
}

/// What both halves of a connection have.
pub trait Peer: Debug + Send + Sync + 'static {
    /// The connection's id, the same on both sides.
    fn id(&self) -> &Alias;
    /// Which establishing of it.
    fn epoch(&self) -> u64;
    /// Its state on this side.
    fn state(&self) -> ConnectionState;
    /// The key the peer signs with.
    fn signing_key(&self) -> &VerifyingKey;
    /// The key the peer speaks TLS with.
    fn tls_key(&self) -> &TlsKey;
}

/// A connection as the spoke holds it: the hub, and what it may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubPeer {
    /// The connection's id.
    pub id: Alias,
    /// Which establishing of it.
    pub epoch: u64,
    /// Its state at the spoke.
    pub state: ConnectionState,
    /// The hub's id.
    pub hub: Alias,
    /// The key the hub signs commands with.
    pub signing_key: VerifyingKey,
    /// The key the hub speaks TLS with.
    pub tls_key: TlsKey,
    /// What the hub may ask for.
    pub grant: Grant,
}

/// A connection as the hub holds it: the spoke, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokePeer {
    /// The connection's id.
    pub id: Alias,
    /// Which establishing of it.
    pub epoch: u64,
    /// Its state at the hub.
    pub state: ConnectionState,
    /// The site: the spoke's name among clients.
    pub site: Alias,
    /// The spoke's id.
    pub spoke: Alias,
    /// Where to dial, `host:port`.
    pub address: String,
    /// The key the spoke signs receipts with.
    pub signing_key: VerifyingKey,
    /// The key the spoke speaks TLS with.
    pub tls_key: TlsKey,
}

macro_rules! peer {
    ($name:ident) => {
        impl Peer for $name {
            fn id(&self) -> &Alias {
                &self.id
            }
            fn epoch(&self) -> u64 {
                self.epoch
            }
            fn state(&self) -> ConnectionState {
                self.state
            }
            fn signing_key(&self) -> &VerifyingKey {
                &self.signing_key
            }
            fn tls_key(&self) -> &TlsKey {
                &self.tls_key
            }
        }
    };
}

peer!(HubPeer);
peer!(SpokePeer);

impl HubPeer {
    /// As it travels to operators; `spoke` and `site` are this spoke's own.
    #[must_use]
    pub fn to_wire(&self, spoke: &Alias, site: &Alias) -> pb::Connection {
        pb::Connection {
            connection_id: self.id.to_string(),
            epoch: self.epoch,
            site: site.to_string(),
            hub_id: self.hub.to_string(),
            spoke_id: spoke.to_string(),
            state: pb::ConnectionState::from(self.state).into(),
            address: String::new(),
        }
    }
}

impl SpokePeer {
    /// As it travels to operators; `hub` is this hub's own id.
    #[must_use]
    pub fn to_wire(&self, hub: &Alias) -> pb::Connection {
        pb::Connection {
            connection_id: self.id.to_string(),
            epoch: self.epoch,
            site: self.site.to_string(),
            hub_id: hub.to_string(),
            spoke_id: self.spoke.to_string(),
            state: pb::ConnectionState::from(self.state).into(),
            address: self.address.clone(),
        }
    }
}
