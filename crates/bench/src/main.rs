//! Measures Mosaic against what it is built on. Each row holds a floor that was measured in the
//! same run, by turns with ours; a part that is missing gives a row without numbers.
//!
//! It prints, and judges nothing: a slow machine is no broken build.

mod agent;
mod bubblewrap;
mod console;
mod docker;
mod engine;
mod floor;
mod lab;
mod machine;
mod memory;
mod proc;
mod raw;
mod report;
mod role;
mod site;
mod stat;
mod status;
mod worktree;

use clap::{Parser, ValueEnum};
use console::{Form, note};
use lab::{Effort, Lab};
use machine::Machine;
use report::{Report, Row};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure Mosaic against what it is built on.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Family>,
    /// Take few samples: to see that it works, not for numbers
    #[arg(long)]
    quick: bool,
    /// Print the table as the documentation has it
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Where to work: its file system is measured too [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Family {
    Status,
    Spawn,
    Worktree,
    Kill,
    Memory,
}

fn main() -> ExitCode {
    // Before anything that starts threads: a supervisor must be alone in its process.
    let part = orchestrator::supervise::play_a_part().or_else(role::play);
    if let Some(code) = part {
        return code;
    }
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let folder = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = std::path::absolute(folder)?;
    let effort = if args.quick {
        Effort::Quick
    } else {
        Effort::Full
    };
    let machine = Machine::ask(&folder, args.quick);
    let lab = Lab::new(folder, effort)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(measure(&lab, &args.only));
    let form = match (args.markdown, args.json) {
        (true, _) => Form::Markdown,
        (_, true) => Form::Json,
        (false, false) => Form::Table,
    };
    Ok(console::print(&Report { machine, rows }, form)?)
}

async fn measure(lab: &Lab, only: &[Family]) -> Vec<Row> {
    let wanted = |family| only.is_empty() || only.contains(&family);
    let mut rows = Vec::new();
    if wanted(Family::Status) {
        note("status through hub and spoke");
        rows.extend(status::measure(lab).await);
    }
    if wanted(Family::Spawn) || wanted(Family::Kill) {
        note("spawn and kill in bubblewrap");
        let (spawns, kills) = bubblewrap::measure(lab).await;
        note("spawn and kill in docker");
        let (spawn, kill) = docker::measure(lab).await;
        let spawns = spawns.into_iter().chain([spawn]);
        let kills = kills.into_iter().chain([kill]);
        rows.extend(spawns.filter(|_| wanted(Family::Spawn)));
        rows.extend(kills.filter(|_| wanted(Family::Kill)));
    }
    if wanted(Family::Worktree) {
        note("worktrees");
        rows.extend(worktree::measure(lab).await);
    }
    if wanted(Family::Memory) {
        note("memory of idle agents");
        rows.extend(memory::measure(lab).await);
    }
    rows
}
