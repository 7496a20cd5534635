//! The spoke: verifies commands and runs agents on this machine.
//!
//! `grpc → killswitch → lifecycle → spawner → cleanup → sandbox, worktrees`: each module may use
//! what is to its right. Only this file knows the concrete adapters.

pub mod cleanup;
pub mod config;
pub mod folders;
pub mod journal;
pub mod killswitch;
pub mod lifecycle;
pub mod output;
pub mod profile;
pub mod sandbox;
pub mod sandboxes;
pub mod spawner;
pub mod worktrees;
