//! Trust between hubs and spokes: identities, connections and grants, pinned TLS,
//! signed commands and receipts, and the ten steps that a command must pass.

pub mod execute;
pub mod link;
pub mod verify;
