//! The parent of the program: starts it, reaps, passes a polite stop on, and reports.
//!
//! `supervise-init PLACE PROGRAM ARGUMENT…`. In a namespace it is process 1: when it ends, the
//! kernel kills whatever is left.

use super::enter::Place;
use super::frames::Frame;
use super::voice::Voice;
use crate::sandbox::Ending;
use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, kill_process, set_dumpable_behavior,
    wait,
};
use rustix::thread::set_no_new_privs;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
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
    Voice::Frames.say(frame);
    code
}

fn run(arguments: &[OsString]) -> Result<Ending> {
    let (place, argv) = Place::parse(arguments)?;
    place.take()?;
    parent(place.program(argv)?, None, &Voice::Frames)
}

/// Starts the program with this input, or with our own, and is its parent until it has ended.
pub(super) fn parent(
    mut command: Command,
    input: Option<Vec<u8>>,
    voice: &Voice,
) -> Result<Ending> {
    shut()?;
    let mut signals = Signals::new([SIGTERM]).context("cannot handle signals")?;
    // Of its own group: `kill 0`, a habit of shell scripts, must not reach us or the supervisor.
    command.process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let pid = Pid::from_raw(child.id().cast_signed()).context("a child has a pid")?;
    voice.say(Frame::Runs);
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        spawn(move || drop(pipe.write_all(&input))); // a program that does not read is no failure
    }
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| relay(pipe, Frame::Stdout, voice)),
        child
            .stderr
            .take()
            .map(|pipe| relay(pipe, Frame::Stderr, voice)),
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

/// Keeps the program, which may run as the same user, from speaking or looking through this
/// process's files, and from gaining privileges by a program that is marked to give them.
fn shut() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot close this process")?;
    set_no_new_privs(true).context("cannot forbid new privileges")
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
fn relay(
    mut pipe: impl Read + Send + 'static,
    frame: fn(Vec<u8>) -> Frame,
    voice: &Voice,
) -> JoinHandle<()> {
    let voice = voice.clone();
    spawn(move || {
        let mut buffer = vec![0; voice.data_max()];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            voice.say(frame(buffer[..length].to_vec()));
        }
    })
}
