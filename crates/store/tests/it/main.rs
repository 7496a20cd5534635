//! The store's tests: one contract for the real store and its fake, and what only the real one does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // a test may

mod contract;
mod durability;
