//! The spoke: verifies commands and runs agents on this machine.

pub mod output;
pub mod sandbox;
pub mod worktrees;
