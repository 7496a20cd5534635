//! The supervisor itself: claims the agent, starts its program, keeps its output, and does not
//! end before everything that descends from it has. That the kernel knows no child of it any
//! more is the proof.
//!
//! `supervise FOLDER`, the launch on standard input. SIGTERM asks the program to end, SIGUSR1
//! kills everything. The answer on standard output is one line; then nobody need listen.

use super::enter::Place;
use super::frames::Frame;
use super::launch::{Launch, Started};
use super::report::{self, EXIT, Exit, STATE, State};
use super::{ENTER, INIT};
use crate::output::{Stream, Writer};
use crate::sandbox::Ending;
use crate::sandbox::procfs::{self, Process};
use anyhow::{Context, Result, bail};
use mosaic_common::failpoint;
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, set_child_subreaper, setsid, wait};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::{BufReader, Read, Write, stdin, stdout};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::spawn;
use std::time::Duration;

/// How long a round of killing waits for what it killed before it looks again.
const ROUND: Duration = Duration::from_millis(50);

/// Longest complaint of bubblewrap that is passed on, in bytes.
const COMPLAINT_MAX: u64 = 4096;

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let Some(folder) = arguments.first().map(Path::new) else {
        return ExitCode::from(2);
    };
    match supervise(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            answer(&Started::No(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn supervise(folder: &Path) -> Result<()> {
    let _ = setsid(); // fails only where we lead a session already
    set_child_subreaper(Some(rustix::process::getpid())).context("cannot become a subreaper")?;
    let launch: Launch =
        serde_json::from_reader(stdin().lock()).context("cannot read the launch")?;
    if !report::claim(folder).context("cannot claim the agent")? {
        answer(&Started::Already);
        return Ok(());
    }
    failpoint!("supervise.claimed");
    let done = run(folder, &launch);
    if let Err(error) = &done {
        // A spoke that was away when this was answered asks how it ended.
        let ending = Ending::Unknown(format!("{error:#}"));
        drop(report::write(folder, EXIT, &Exit { ending })); // without it the answer is vaguer
    }
    done
}

/// Runs the program to its end, with the claim held.
fn run(folder: &Path, launch: &Launch) -> Result<()> {
    let mut state = State {
        sandbox: launch.sandbox.clone(),
        boot: procfs::boot().context("cannot read the boot id")?,
        supervisor: Process::current().context("cannot find this process")?,
        init: None,
        owner: launch.owner,
        cgroup: launch.cgroup.clone(),
    };
    report::write(folder, STATE, &state).context("cannot write the state")?;
    failpoint!("supervise.stated");
    let output =
        Writer::open(&launch.output, launch.output_max).context("cannot open the output")?;
    let init = Arc::new(OnceLock::new());
    obey(launch, init.clone()).context("cannot handle signals")?;
    let mut child = start(launch)?;
    failpoint!("supervise.started");
    let mut frames = BufReader::new(child.stdout.take().context("init has an output")?);
    let first = Frame::read(&mut frames);
    if !matches!(first, Ok(Some(Frame::Runs))) {
        let why = complaint(first, &mut child);
        end_everything(launch);
        bail!(why);
    }
    state.init = find_init(launch, &child);
    if let Some(process) = state.init {
        let _ = init.set(process); // set once, here
    }
    // one step: the other arm is over
    report::write(folder, STATE, &state).context("cannot write the state")?;
    failpoint!("supervise.runs");
    feed(&mut child, launch.stdin.clone());
    answer(&Started::Yes);
    failpoint!("supervise.answered");
    let ending = keep_output(&mut frames, output);
    end_everything(launch);
    failpoint!("supervise.ended");
    let ending = judged(ending, launch);
    report::write(folder, EXIT, &Exit { ending }).context("cannot write the ending")
}

/// Starts the program's parent, in its place, with the agent's environment and nothing else.
fn start(launch: &Launch) -> Result<Child> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let groups = launch
        .cgroup
        .as_ref()
        .map(|cgroup| cgroup.procs())
        .unwrap_or_default();
    let place = Place {
        groups,
        address_space: launch.address_space,
        owner: launch.owner,
        without_pwd: false,
    };
    let mut command = Command::new(own);
    match &launch.bubblewrap {
        Some(bubblewrap) => {
            let inside = Place::inside(&launch.env); // the one outside has taken it there
            command
                .arg(ENTER)
                .arg(place.argument())
                .args(bubblewrap)
                .arg(INIT)
                .arg(inside.argument());
        }
        None => drop(command.arg(INIT).arg(place.argument())),
    }
    command
        .args(&launch.argv)
        .env_clear()
        .envs(&launch.env)
        .env("MOSAIC_AGENT_ID", launch.agent.as_str())
        .current_dir(&launch.workdir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("cannot start the program's parent")
}

/// The program's parent as this machine sees it: our child, or process 1 of the agent's namespace.
fn find_init(launch: &Launch, child: &Child) -> Option<Process> {
    let child = Process::find(child.id().cast_signed())?;
    if launch.bubblewrap.is_none() {
        return Some(child);
    }
    let descendants = procfs::descendants(child).ok()?;
    descendants
        .into_iter()
        .find(|process| procfs::is_first_of_its_namespace(*process))
}

/// Does what signals say, in a thread of its own.
fn obey(launch: &Launch, init: Arc<OnceLock<Process>>) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGUSR1])?;
    let cgroup = launch.cgroup.clone();
    spawn(move || {
        for signal in signals.forever() {
            match init.get() {
                Some(init) if signal == SIGTERM => init.signal(Signal::TERM),
                _ => kill_once(cgroup.as_ref()),
            }
        }
    });
    Ok(())
}

/// Kills everything that descends from us, and its control group. The main thread reaps.
fn kill_once(cgroup: Option<&crate::sandbox::cgroup::Cgroup>) {
    if let Some(cgroup) = cgroup {
        drop(cgroup.kill()); // what it leaves, the next lines find
    }
    let ours = Process::current()
        .and_then(procfs::descendants)
        .unwrap_or_default();
    procfs::await_end(&procfs::kill(&ours), ROUND);
}

/// Kills and reaps until the kernel knows no child of ours any more, whatever session it is in.
fn end_everything(launch: &Launch) {
    loop {
        // Any child: `waitpid` would leave out those in sessions of their own.
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return,
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => kill_once(launch.cgroup.as_ref()),
        }
    }
}

/// Keeps what the program writes until its parent says how it ended, or is gone.
fn keep_output(frames: &mut impl Read, mut output: Writer) -> Ending {
    let ending = loop {
        let kept = match Frame::read(frames) {
            Ok(Some(Frame::Stdout(data))) => output.append(Stream::Stdout, &data),
            Ok(Some(Frame::Stderr(data))) => output.append(Stream::Stderr, &data),
            Ok(Some(Frame::Exited(code))) => break Ending::Exit(code),
            Ok(Some(Frame::Signalled(signal))) => break Ending::Signal(signal),
            Ok(Some(Frame::Failed(why))) => break Ending::Unknown(why),
            Ok(Some(Frame::OutOfMemory)) => break Ending::OutOfMemory,
            Ok(Some(Frame::Runs | Frame::Untold)) => Ok(()),
            Ok(None) | Err(_) => break Ending::Signal(Signal::KILL.as_raw()),
        };
        drop(kept); // a full disk costs output, not the agent
    };
    drop(output.close());
    ending
}

/// A program that did not end well while the kernel killed for want of memory ended by that.
fn judged(ending: Ending, launch: &Launch) -> Ending {
    let kills = launch
        .cgroup
        .as_ref()
        .map_or(0, |cgroup| cgroup.oom_kills());
    if kills > 0 && ending != Ending::Exit(0) {
        Ending::OutOfMemory
    } else {
        ending
    }
}

/// Gives the program its input, in a thread: it may read it late, or never.
fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut pipe) = child.stdin.take() {
        spawn(move || drop(pipe.write_all(&input))); // a program that does not read is no failure
    }
}

/// Why the program does not run: what its parent says, else what bubblewrap complains of.
fn complaint(first: std::io::Result<Option<Frame>>, child: &mut Child) -> String {
    if let Ok(Some(Frame::Failed(why))) = first {
        return why;
    }
    let mut text = String::new();
    if let Some(pipe) = child.stderr.take() {
        drop(pipe.take(COMPLAINT_MAX).read_to_string(&mut text));
    }
    let text = text.trim();
    if text.is_empty() {
        "its parent process ended without a word".to_owned()
    } else {
        text.to_owned()
    }
}

fn answer(started: &Started) {
    let line = serde_json::to_string(started).unwrap_or_default(); // a word or a text: cannot fail
    drop(writeln!(stdout(), "{line}")); // the spoke may be gone; what runs, runs
}
