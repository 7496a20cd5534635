//! For tests only: fakes that are stricter than the real thing, a clock that is set by hand, a real
//! Valkey server, a door before a real container engine that can be made to fail, and a network that
//! can be broken.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test kit may: a panic is a failed test

pub mod clock;
pub mod engine;
pub mod proxy;
pub mod sandbox;
pub mod valkey;
pub mod worktrees;
