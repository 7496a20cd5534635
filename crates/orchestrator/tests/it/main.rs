//! The spoke's tests.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

mod cleanup;
mod killswitch;
mod lifecycle;
mod stage;
