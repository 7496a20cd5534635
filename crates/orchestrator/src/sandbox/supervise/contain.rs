//! The first process of a container: told what to start on standard input, it starts the program
//! and is its parent, as in a namespace of bubblewrap's.
//!
//! `supervise-contain`. The image's own entry point, variables and health checks play no part, and
//! what is told never stands in the engine's records: it may hold secrets.

use super::frames::Frame;
use super::init;
use super::voice::Voice;
use crate::sandbox::Ending;
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Read, stdin};
use std::process::{Command, ExitCode};

/// What to start. It is followed by the bytes that the program reads.
#[derive(Serialize, Deserialize)]
pub(crate) struct Contained {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// The whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// How many bytes the program reads.
    pub(crate) input: usize,
}

impl Contained {
    /// As it is told: one line, then the input.
    pub(crate) fn told(&self, input: &[u8]) -> serde_json::Result<Vec<u8>> {
        let mut told = serde_json::to_vec(self)?;
        told.push(b'\n');
        told.extend_from_slice(input);
        Ok(told)
    }

    /// Reads what is told; `None` if whoever should tell it went away before its end.
    fn hear(from: &mut impl BufRead) -> io::Result<Option<(Self, Vec<u8>)>> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        let told: Self = serde_json::from_slice(&line)?;
        let mut input = Vec::new();
        from.take(told.input as u64).read_to_end(&mut input)?;
        Ok((input.len() == told.input).then_some((told, input)))
    }
}

pub(super) fn main() -> ExitCode {
    let voice = Voice::to_log();
    let (frame, code) = match run(&voice) {
        Ok(Some(ending)) => (Frame::of(&ending), ExitCode::SUCCESS),
        Ok(None) => (Frame::Untold, ExitCode::FAILURE),
        Err(error) => (Frame::Failed(format!("{error:#}")), ExitCode::FAILURE),
    };
    voice.say(frame);
    code
}

fn run(voice: &Voice) -> Result<Option<Ending>> {
    let told = Contained::hear(&mut stdin().lock()).context("cannot read what to start")?;
    let Some((told, input)) = told else {
        return Ok(None);
    };
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).context("cannot forbid core files")?; // they hold secrets
    let (program, arguments) = told.argv.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&told.env);
    let ending = init::parent(command, Some(input), voice)?;
    Ok(Some(judged(ending)))
}

/// A program that did not end well while the kernel killed for want of memory ended by that.
fn judged(ending: Ending) -> Ending {
    if ending != Ending::Exit(0) && oom_kills() > 0 {
        Ending::OutOfMemory
    } else {
        ending
    }
}

/// How often the kernel killed in this container's group for want of memory, by the files of
/// version 1 or 2 of control groups, as engines mount them.
fn oom_kills() -> u64 {
    let files = [
        "/sys/fs/cgroup/memory/memory.oom_control",
        "/sys/fs/cgroup/memory.events",
    ];
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok());
    let text = text.unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Vec<u8> {
        let env = BTreeMap::from([("TOKEN".to_owned(), "two\nlines".to_owned())]);
        let argv = vec!["cat".into(), "-".into()];
        let contained = Contained {
            argv,
            env,
            input: 3,
        };
        contained.told(b"a\nb").unwrap()
    }

    #[test]
    fn what_is_told_is_heard() {
        let (heard, input) = Contained::hear(&mut told().as_slice()).unwrap().unwrap();
        assert_eq!(heard.argv, ["cat", "-"]);
        assert_eq!(heard.env["TOKEN"], "two\nlines");
        assert_eq!(input, b"a\nb");
    }

    #[test]
    fn a_teller_that_went_away_has_told_nothing() {
        let told = told();
        for length in 0..told.len() {
            let heard = Contained::hear(&mut &told[..length]).unwrap();
            assert!(heard.is_none(), "after {length} bytes");
        }
    }
}
