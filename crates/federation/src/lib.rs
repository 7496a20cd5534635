//! Trust between hubs and spokes: identities, connections and grants, pinned TLS,
//! signed commands and receipts, and the ten steps that a command must pass.
//!
//! `docs/protocol.md` describes what travels. This crate runs no agent and serves no client:
//! a spoke hands it an [`Execute`](execute::Execute), a hub asks it for a [`Link`](link::Link).

pub mod connection;
pub mod dial;
pub mod execute;
pub mod identity;
pub mod issuer;
pub mod kind;
pub mod ledger;
pub mod link;
pub mod listener;
pub mod overload;
pub mod receipt;
pub mod record;
pub mod server;
pub mod tls;
pub mod verify;
