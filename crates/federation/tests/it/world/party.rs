//! One side of a connection: an identity, and how the other side lists it.

use super::alias;
use mosaic_common::agent::Limits;
use mosaic_common::ids::unhex;
use mosaic_common::keys::SigningKey;
use mosaic_federation::connection::{ConnectionState, Grant, HubPeer, SpokePeer};
use mosaic_federation::identity::Identity;
use mosaic_federation::kind;
use std::net::SocketAddr;
use tempfile::TempDir;

/// A grant of everything there is.
fn everything() -> Grant {
    let all = "spawn status list kill kill_all release watch logs result";
    Grant {
        commands: all
            .split(' ')
            .map(|name| kind::parse(name).unwrap())
            .collect(),
        repositories: vec![alias("demo")],
        profiles: vec![alias("command")],
        sandboxes: vec![alias("bubblewrap")],
        max_agents: 8,
        cut_off: None,
        commands_per_minute: 10_000,
        limits: Limits::default(),
    }
}

/// An identity in a folder that goes with it.
pub(crate) struct Party {
    pub(crate) identity: Identity,
    pub(crate) folder: TempDir,
}

impl Party {
    pub(crate) fn new(id: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate(&folder.path().join("identity"), alias(id)).unwrap();
        Self { identity, folder }
    }

    /// The signing key itself, for forging.
    pub(crate) fn signing_key(&self) -> SigningKey {
        let path = self.folder.path().join("identity/signing.key");
        let seed = unhex(std::fs::read_to_string(path).unwrap().trim()).unwrap();
        SigningKey::from_seed(&seed.try_into().unwrap()).unwrap()
    }

    pub(crate) fn as_hub(&self, connection: &str) -> HubPeer {
        let public = self.identity.public();
        HubPeer {
            id: alias(connection),
            epoch: 1,
            state: ConnectionState::Active,
            hub: public.id,
            signing_key: public.signing_key,
            tls_key: public.tls_key,
            grant: everything(),
        }
    }

    pub(crate) fn as_spoke(&self, connection: &str, address: SocketAddr) -> SpokePeer {
        let public = self.identity.public();
        SpokePeer {
            id: alias(connection),
            epoch: 1,
            state: ConnectionState::Active,
            site: public.id.clone(),
            spoke: public.id,
            address: address.to_string(),
            signing_key: public.signing_key,
            tls_key: public.tls_key,
        }
    }
}
