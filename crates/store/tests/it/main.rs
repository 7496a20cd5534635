//! The store's integration tests: one contract on both stores, what only a file can do, and the
//! mirror on a real Valkey server.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop, also in a function that several share"
)]

mod contract;
mod crash;
mod embedded;
mod mirror;
mod mirror_faults;
mod mirror_history;
mod mirror_stage;
mod model;
mod refusal;
mod writes;
