//! The spoke: verifies commands and runs agents on this machine.
//!
//! `grpc → killswitch → lifecycle → spawner → cleanup → sandbox, worktrees`: each module may use
//! what is to its right. Only `adapters` knows the concrete ones.

mod adapters;
pub mod cleanup;
pub mod config;
pub mod cut_off;
pub mod disk;
pub mod folders;
pub mod grpc;
pub mod journal;
pub mod killswitch;
pub mod lifecycle;
pub mod listener;
pub mod local_audit;
pub mod mirror;
pub mod output;
pub mod profile;
mod program;
pub mod reconcile;
mod retention;
pub mod sandbox;
pub mod sandboxes;
mod serve;
pub mod spawner;
mod spoke;
mod turns;
mod upkeep;
mod without_store;
pub mod worktrees;

pub use adapters::{bubblewrap_works, docker_works};
pub use program::main_with;
pub use sandbox::supervise;
pub use spoke::{Spoke, StartError};
