//! Puts a process where it belongs before it becomes anything else: into the agent's control
//! group, under its per-process limits.
//!
//! `supervise-enter PLACE PROGRAM ARGUMENT…` becomes the program, as the agent's user.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::stdout;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::frames::Frame;

/// Where a process belongs. It stands on a command line and holds no secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The files to write oneself to.
    pub(super) groups: Vec<PathBuf>,
    /// Bytes of address space, where no group limits memory.
    pub(super) address_space: Option<u64>,
    /// The user and group to run the program as.
    pub(super) owner: Option<u32>,
    /// Whether to take `PWD` away, which bubblewrap sets and nobody gave.
    pub(super) without_pwd: bool,
}

impl Place {
    /// The place inside a namespace, of a program with this environment.
    pub(super) fn inside(env: &BTreeMap<String, String>) -> Self {
        Self {
            without_pwd: !env.contains_key("PWD"),
            ..Self::default()
        }
    }

    /// As one argument.
    pub(super) fn argument(&self) -> OsString {
        serde_json::to_string(self).unwrap_or_default().into() // paths of ours and numbers: cannot fail
    }

    /// Reads it from the first argument, and returns the rest.
    pub(super) fn parse(arguments: &[OsString]) -> Result<(Self, &[OsString])> {
        let (first, rest) = arguments.split_first().context("an argument is missing")?;
        Ok((
            serde_json::from_str(first.to_str().context("not text")?)?,
            rest,
        ))
    }

    /// Takes this process there.
    pub(super) fn take(&self) -> Result<()> {
        for group in &self.groups {
            // 0 stands for the process that writes.
            std::fs::write(group, "0")
                .with_context(|| format!("cannot join {}", group.display()))?;
        }
        let limit = |bytes| Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        setrlimit(Resource::Core, limit(0)).context("cannot forbid core files")?; // they hold secrets
        if let Some(bytes) = self.address_space {
            setrlimit(Resource::As, limit(bytes)).context("cannot limit the address space")?;
        }
        Ok(())
    }

    /// The program, to be run as the agent's user: with its group, and no further ones.
    pub(super) fn program(&self, argv: &[OsString]) -> Result<Command> {
        let (program, arguments) = argv.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments);
        if self.without_pwd {
            command.env_remove("PWD");
        }
        if let Some(owner) = self.owner {
            command.uid(owner).gid(owner); // the library drops further groups where root changes user
        }
        Ok(command)
    }
}

pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let failed = match become_program(arguments) {
        Ok(never) => match never {},
        Err(error) => Frame::Failed(format!("{error:#}")),
    };
    drop(failed.write(&mut stdout())); // nobody listens: nobody needs it
    ExitCode::FAILURE
}

fn become_program(arguments: &[OsString]) -> Result<Infallible> {
    let (place, argv) = Place::parse(arguments)?;
    place.take()?;
    let error = place.program(argv)?.exec();
    Err(anyhow::Error::from(error).context(format!("cannot run {}", argv[0].display())))
}
