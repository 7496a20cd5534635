//! The parent of the program: starts it, reaps, passes a polite stop on, and reports.
//!
//! `supervise-init PLACE PROGRAM ARGUMENT…`. In a namespace it is process 1: when it ends, the
//! kernel kills whatever is left.

use super::enter::Place;
use super::frames::{DATA_MAX, Frame};
use crate::sandbox::Ending;
use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, kill_process, set_dumpable_behavior,
    wait,
};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::{Read, Write, stdout};
use std::process::{ExitCode, Stdio};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// How long the last output of the program is waited for once it has ended: what it left in the
/// pipes is there already; a child that holds them open may hold them for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let (frame, code) = match run(arguments) {
        Ok(ending) => (Frame::of(&ending), ExitCode::SUCCESS),
        Err(error) => (Frame::Failed(format!("{error:#}")), ExitCode::FAILURE),
    };
    say(&frame);
    code
}

fn run(arguments: &[OsString]) -> Result<Ending> {
    let (place, argv) = Place::parse(arguments)?;
    place.take()?;
    // In a namespace the program runs as our user: it must not trace us, nor speak in our name.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot shut out the program")?;
    let mut signals = Signals::new([SIGTERM]).context("cannot handle signals")?;
    let mut command = place.program(argv)?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", argv[0].display()))?;
    let pid = Pid::from_raw(child.id().cast_signed()).context("a child has a pid")?;
    say(&Frame::Runs);
    let readers = [
        child.stdout.take().map(|pipe| relay(pipe, Frame::Stdout)),
        child.stderr.take().map(|pipe| relay(pipe, Frame::Stderr)),
    ];
    spawn(move || {
        for _ in signals.forever() {
            let _ = kill_process(pid, Signal::TERM); // it may have ended
        }
    });
    let ending = reap(pid)?;
    let last = tokio::time::Instant::now() + LAST_WORDS;
    for reader in readers.into_iter().flatten() {
        // Joined in turns, so that a pipe that is held open cannot hold us.
        while !reader.is_finished() && tokio::time::Instant::now() < last {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    Ok(ending)
}

/// Reaps whatever ends, until the program has.
fn reap(program: Pid) -> Result<Ending> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, how))) if pid == program => return Ok(ending(how)),
            Ok(_) | Err(Errno::INTR) => {} // an orphan's, or nothing
            Err(error) => return Err(error).context("cannot wait for the program"),
        }
    }
}

/// How a program ended, by what `wait` says of it.
fn ending(status: WaitStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exit(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => Ending::Unknown("it neither exited nor was killed".to_owned()),
    }
}

/// Passes on what the program writes, until the pipe's end.
fn relay(mut pipe: impl Read + Send + 'static, frame: fn(Vec<u8>) -> Frame) -> JoinHandle<()> {
    spawn(move || {
        let mut buffer = vec![0; DATA_MAX];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            say(&frame(buffer[..length].to_vec()));
        }
    })
}

/// Says something to the supervisor. If it is gone, so will we be.
fn say(frame: &Frame) {
    let mut out = stdout().lock();
    drop(frame.write(&mut out).and_then(|()| out.flush()));
}
