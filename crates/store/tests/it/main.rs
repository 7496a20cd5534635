//! The store's integration tests: one contract on both stores, and what only a file can do.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop, also in a function that several share"
)]

mod contract;
mod crash;
mod embedded;
mod model;
mod refusal;
mod writes;
