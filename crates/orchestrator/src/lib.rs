//! The spoke: verifies commands and runs agents on this machine.

pub mod folders;
pub mod output;
pub mod sandbox;
pub mod worktrees;
