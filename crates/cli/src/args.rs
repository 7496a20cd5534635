//! The command line: its global flags and its commands. Each command's own flags stand with it.

use crate::{commands, exit, target::TargetArgs};
use clap::{Parser, Subcommand};

/// Runs coding agents at your sites, and looks after them.
#[derive(Debug, Parser)]
#[command(name = "mosaic", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Print JSON: one object, or one a line for lists and streams
    #[arg(long, global = true)]
    pub json: bool,
    /// Which server, and as whom.
    #[command(flatten)]
    pub target: TargetArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an agent
    Spawn(Box<commands::spawn::SpawnArgs>),
    /// List agents: the live ones, newest first
    Ps(commands::ps::PsArgs),
    /// Show one agent
    Status(commands::status::StatusArgs),
    /// Print what an agent wrote
    Logs(commands::logs::LogsArgs),
    /// Follow events, of one agent or of all
    Watch(commands::watch::WatchArgs),
    /// Kill an agent, and wait until it is seen dead
    Kill(commands::kill::KillArgs),
    /// Kill every agent, and refuse new ones until `release`
    KillAll(commands::kill_all::KillAllArgs),
    /// Accept new agents again after `kill-all`
    Release(commands::release::ReleaseArgs),
    /// Show what an agent left: commits, numbers or the patch
    Result(commands::result::ResultArgs),
    /// List recorded commands and their outcomes, newest first
    Commands(commands::history::HistoryArgs),
    /// List connections between hub and spokes
    Connections,
    /// List sites
    Sites,
}
