//! The spoke's parts against the real machine: git, processes, files.

#![allow(clippy::unwrap_used, reason = "a test may: a panic is a failed test")]

mod worktrees_add;
mod worktrees_hostile;
mod worktrees_rescue;
mod worktrees_result;
mod worktrees_site;
