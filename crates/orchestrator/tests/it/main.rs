//! The spoke's tests.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

mod claude;
mod cleanup;
mod cleanup_real;
mod cut_off;
mod disk;
mod doors;
mod examples;
mod flat;
mod killswitch;
mod lifecycle;
mod mirror;
mod policy_model;
mod program;
mod reading_along;
mod reconcile;
mod sandbox;
mod site;
mod stage;
mod without_store;
mod worktrees_add;
mod worktrees_collect;
mod worktrees_hostile;
mod worktrees_odd;
mod worktrees_racer;
mod worktrees_rescue;
mod worktrees_result;
mod worktrees_site;
