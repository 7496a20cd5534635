//! For tests only: fakes that are stricter than the real thing, and a clock that is set by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test kit may: a panic is a failed test

pub mod clock;
pub mod sandbox;
pub mod worktrees;
