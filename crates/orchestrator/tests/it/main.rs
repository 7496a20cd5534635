//! The spoke's tests.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

mod cleanup;
mod examples;
mod killswitch;
mod lifecycle;
mod sandbox_contract;
mod sandbox_end;
mod sandbox_hostile;
mod sandbox_machine;
mod stage;
mod worktrees_add;
mod worktrees_hostile;
mod worktrees_rescue;
mod worktrees_result;
mod worktrees_site;
