//! The command line: its global flags and its commands. Each command's own flags stand with it.

use crate::{commands, exit, services::Service, target::TargetArgs};
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
    pub task: Task,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Ask or tell a hub or a spoke.
    #[command(flatten)]
    Command(Command),
    /// Be a hub or a spoke.
    #[command(flatten)]
    Service(Service),
}

/// What to ask or tell.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all of Mosaic at work on this machine, and prove that nothing is left
    Demo(crate::demo::DemoArgs),
    /// Run a hub and a spoke in this process, for one machine
    Up(crate::up::UpArgs),
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
    /// List work that could not be rescued, and where it is kept
    Quarantine(commands::quarantine::QuarantineArgs),
    /// List recorded commands and their outcomes, newest first
    Commands(commands::history::HistoryArgs),
    /// List connections between hub and spokes
    Connections,
    /// List sites
    Sites,
    /// Make, list and revoke the bearer tokens of a hub, in its data folder
    Token(commands::token::TokenArgs),
    /// Make the identity of a hub or a spoke, and print its public half
    Keygen(commands::keygen::KeygenArgs),
    /// Print the script that completes commands and flags in your shell
    Completions(commands::completions::CompletionsArgs),
    /// Count what a spoke has on this machine, without asking the spoke
    Inventory(commands::inventory::InventoryArgs),
}
