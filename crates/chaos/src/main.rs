//! `chaos`: check a settled system, crash it at every failpoint, kill it at random, wear it out.

use anyhow::{Context, Result};
use chaos::check::Check;
use chaos::console::{note, print};
use chaos::failpoints::{self, points};
use chaos::kill::Load;
use chaos::seen::{Engine, Place};
use chaos::soak::Span;
use chaos::told::at_socket;
use chaos::work::{Promise, Scope};
use chaos::world;
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Prove from outside that a crash costs nothing
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold what a spoke has on this machine against what it says
    Check(CheckArgs),
    /// Crash at every failpoint of the tree, and check what is left
    Failpoints(FailpointArgs),
    /// Kill anybody at any moment under load, and check what is left
    Kill(KillArgs),
    /// Run agents for long, with a fault now and then: nothing may grow
    Soak(SoakArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The spoke's data folder
    data: PathBuf,
    /// The spoke's name
    #[arg(long)]
    site: String,
    /// The spoke's socket [default: <DATA>/spoke.sock]
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Do not ask the container engine
    #[arg(long)]
    no_docker: bool,
    /// Valkey's port on this machine, if the spoke is copied there
    #[arg(long)]
    valkey: Option<u16>,
    /// What agents were seen to do, one JSON object a line
    #[arg(long)]
    promises: Option<PathBuf>,
    /// How long a disagreement may take to pass, in seconds
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct FailpointArgs {
    /// How many crashes; at least one for each point
    #[arg(long, default_value_t = 0)]
    runs: usize,
    /// Only points whose name begins so
    #[arg(long, value_name = "NAME")]
    point: Vec<String>,
    /// What the runs beyond the first of each point are thrown from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave out what needs a container engine
    #[arg(long)]
    no_docker: bool,
    /// How many worlds at once
    #[arg(long, default_value_t = 2)]
    worlds: usize,
    /// Write the table here, as Markdown
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct KillArgs {
    /// How often somebody is killed
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// What chance is thrown from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Agents of one round
    #[arg(long, default_value_t = 6)]
    agents: u64,
    /// Leave out what needs a container engine
    #[arg(long)]
    no_docker: bool,
}

#[derive(Debug, Args)]
struct SoakArgs {
    /// How long, in minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seconds from one fault to the next
    #[arg(long, default_value_t = 60)]
    period: u64,
    /// What chance is thrown from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Agents at once
    #[arg(long, default_value_t = 6)]
    agents: u64,
    /// Leave out what needs a container engine
    #[arg(long)]
    no_docker: bool,
}

fn main() -> ExitCode {
    // Before anything that starts threads: a supervisor must be alone in its process.
    let part = orchestrator::supervise::play_a_part().or_else(world::play);
    if let Some(code) = part {
        return code;
    }
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match cli.command {
        Command::Check(args) => runtime.block_on(check(args)),
        Command::Failpoints(args) => runtime.block_on(crash(args)),
        Command::Kill(args) => runtime.block_on(kill(&args)),
        Command::Soak(args) => runtime.block_on(wear(&args)),
    }
}

async fn check(args: CheckArgs) -> Result<ExitCode> {
    let data = std::path::absolute(&args.data)?;
    let socket = args.socket.unwrap_or_else(|| data.join("spoke.sock"));
    let promises = args.promises.as_deref().map_or(Ok(Vec::new()), promises)?;
    let engine = if args.no_docker {
        Engine::Unused
    } else {
        Engine::Asked
    };
    let mut check = Check {
        client: at_socket(&socket)?,
        place: Place {
            data,
            site: args.site,
            engine,
            valkey: args.valkey,
        },
        scope: Scope::All,
    };
    let patience = Duration::from_secs(args.patience);
    let findings = check.lasting(|| promises.clone(), patience).await?;
    if args.json {
        print(&serde_json::json!({ "findings": findings }).to_string())?;
    } else {
        for finding in &findings {
            print(&finding.to_string())?;
        }
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

fn promises(file: &Path) -> Result<Vec<Promise>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed = text.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().context("a promise")
}

async fn crash(args: FailpointArgs) -> Result<ExitCode> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut points = points(&crates)?;
    let wanted = |name: &str| {
        args.point
            .iter()
            .any(|start| name.starts_with(start.as_str()))
    };
    points.retain(|point| args.point.is_empty() || wanted(&point.name));
    if args.no_docker {
        points.retain(|point| !point.name.starts_with("docker."));
    }
    let plan = failpoints::Plan {
        program: std::env::current_exe()?,
        points,
        runs: args.runs,
        seed: args.seed,
        docker: !args.no_docker,
        worlds: args.worlds,
    };
    let table = failpoints::run(&plan).await?;
    print(&table.markdown())?;
    if let Some(file) = args.table {
        std::fs::write(file, table.markdown())?;
    }
    verdict(&table.failures())
}

async fn kill(args: &KillArgs) -> Result<ExitCode> {
    let load = Load {
        seed: args.seed,
        docker: !args.no_docker,
        agents: args.agents,
    };
    let findings = chaos::kill::run(&std::env::current_exe()?, load, args.rounds).await?;
    verdict(&findings.iter().map(ToString::to_string).collect::<Vec<_>>())
}

async fn wear(args: &SoakArgs) -> Result<ExitCode> {
    let load = Load {
        seed: args.seed,
        docker: !args.no_docker,
        agents: args.agents,
    };
    let span = Span {
        whole: Duration::from_secs(60 * args.minutes),
        period: Duration::from_secs(args.period),
    };
    let findings = chaos::soak::run(&std::env::current_exe()?, load, span).await?;
    verdict(&findings.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn verdict(failures: &[String]) -> Result<ExitCode> {
    for failure in failures {
        print(failure)?;
    }
    Ok(ExitCode::from(u8::from(!failures.is_empty())))
}
