//! Connections as TOML files. Read strictly: a key that is not known is an error,
//! because a misspelt restriction would otherwise be none.

use super::{ConnectionState, Grant, HubPeer, Peer, SpokePeer};
use crate::{kind, tls::TlsKey};
use mosaic_common::agent::Limits;
use mosaic_common::{Alias, keys::VerifyingKey, place};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

mod form;

/// Largest file of connections, in bytes: some thousand connections.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What can be wrong with a file of connections.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionsError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a field is missing, unknown or of the wrong form.
    #[error("{0}")]
    Parse(String),
    /// What a file holds is wrong.
    #[error("{path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<Self>,
    },
    /// It cannot be written as TOML.
    #[error("connections cannot be written")]
    Render(#[source] toml::ser::Error),
    /// A field holds what it must not.
    #[error("connection {id}: {problem}")]
    Field {
        /// Which connection.
        id: Alias,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// Reads a spoke's connections from a file.
///
/// # Errors
/// If it cannot be read or does not hold connections.
pub fn load_hubs(path: &Path) -> Result<Vec<HubPeer>, ConnectionsError> {
    parse_hubs(&read(path)?).map_err(|source| within(path, source))
}

/// Reads a hub's connections from a file.
///
/// # Errors
/// If it cannot be read or does not hold connections.
pub fn load_spokes(path: &Path) -> Result<Vec<SpokePeer>, ConnectionsError> {
    parse_spokes(&read(path)?).map_err(|source| within(path, source))
}

/// Reads a spoke's connections.
///
/// # Errors
/// If a field is malformed, or an id or a key is there twice.
pub fn parse_hubs(text: &str) -> Result<Vec<HubPeer>, ConnectionsError> {
    let file: form::File<form::Hub> =
        toml::from_str(text).map_err(|error| malformed(text, &error))?;
    let peers = file
        .connection
        .into_iter()
        .map(HubPeer::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    check_unique(&peers)?;
    Ok(peers)
}

/// Reads a hub's connections.
///
/// # Errors
/// If a field is malformed, or an id, a key or the site of two that are in use is there twice.
pub fn parse_spokes(text: &str) -> Result<Vec<SpokePeer>, ConnectionsError> {
    let file: form::File<form::Spoke> =
        toml::from_str(text).map_err(|error| malformed(text, &error))?;
    let peers: Vec<SpokePeer> = file.connection.into_iter().map(SpokePeer::from).collect();
    check_unique(&peers)?;
    let mut sites = HashSet::new();
    for peer in &peers {
        if peer.state != ConnectionState::Revoked && !sites.insert(&peer.site) {
            let problem = format!("another connection has the site {} already", peer.site);
            return Err(field(&peer.id, problem));
        }
        if peer.address.parse::<http::uri::Authority>().is_err() || !peer.address.contains(':') {
            return Err(field(&peer.id, "address: must be host:port".into()));
        }
    }
    Ok(peers)
}

/// Writes a spoke's connections.
///
/// # Errors
/// If they cannot be written as TOML.
pub fn render_hubs(peers: &[HubPeer]) -> Result<String, ConnectionsError> {
    let connection = peers.iter().map(form::Hub::from).collect();
    toml::to_string(&form::File { connection }).map_err(ConnectionsError::Render)
}

/// Writes a hub's connections.
///
/// # Errors
/// If they cannot be written as TOML.
pub fn render_spokes(peers: &[SpokePeer]) -> Result<String, ConnectionsError> {
    let connection = peers.iter().map(form::Spoke::from).collect();
    toml::to_string(&form::File { connection }).map_err(ConnectionsError::Render)
}

fn check_unique<P: Peer>(peers: &[P]) -> Result<(), ConnectionsError> {
    let mut ids = HashSet::new();
    let mut keys = HashSet::new();
    for peer in peers {
        if !ids.insert(peer.id()) {
            return Err(field(peer.id(), "there is another of this id".into()));
        }
        if peer.epoch() == 0 {
            return Err(field(peer.id(), "epoch: counts from 1".into()));
        }
        // Told by what TLS would pin, so that one key in both roles is seen as the same key.
        for key in [*peer.tls_key(), TlsKey::of_signing_key(peer.signing_key())] {
            if !keys.insert(key) {
                let problem = "a key must have one use: it is the TLS or signing key of another \
                               connection, or both of this one";
                return Err(field(peer.id(), problem.into()));
            }
        }
    }
    Ok(())
}

fn malformed(text: &str, error: &toml::de::Error) -> ConnectionsError {
    let place = place::of_offset(text, error.span().map(|span| span.start));
    ConnectionsError::Parse(place + error.message())
}

fn within(path: &Path, source: ConnectionsError) -> ConnectionsError {
    ConnectionsError::File {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

fn field(id: &Alias, problem: String) -> ConnectionsError {
    ConnectionsError::Field {
        id: id.clone(),
        problem,
    }
}

fn read(path: &Path) -> Result<String, ConnectionsError> {
    let text = std::fs::metadata(path).and_then(|found| {
        if found.len() > FILE_MAX {
            let problem = format!("it has {} bytes, more than {FILE_MAX}", found.len());
            return Err(std::io::Error::other(problem));
        }
        std::fs::read_to_string(path)
    });
    text.map_err(|source| ConnectionsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
