//! The floor of starting and ending an agent in bubblewrap: `bwrap` itself, with the very
//! arguments that the spoke gives it, and `kill` and a removal of the folder.

use crate::agent::{IDLE, until_ready};
use crate::proc;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How the spoke runs `bwrap`, learnt from one that runs.
#[derive(Debug)]
pub(crate) struct Recipe {
    program: String,
    arguments: Vec<String>,
    folder: String,
    owner: u32,
}

/// One that was started by hand.
#[derive(Debug)]
pub(crate) struct Raw {
    bwrap: Child,
    folder: PathBuf,
}

impl Recipe {
    /// Reads the command line of a running agent, whose folder this is.
    ///
    /// # Errors
    /// If it has no `bwrap`.
    pub(crate) fn learn(folder: &Path) -> anyhow::Result<Self> {
        let owner = fs::metadata(folder)?.uid();
        let folder = folder.display().to_string();
        let mut lines = proc::all()?.into_iter().map(|process| process.arguments());
        let is_it = |line: &Vec<String>| {
            line.first()
                .is_some_and(|program| program.ends_with("/bwrap"))
                && line.contains(&folder)
        };
        let line = lines.find(is_it).context("the agent has no bwrap")?;
        let end = line.iter().position(|argument| argument == "--");
        let end = end.context("bwrap has no program")?;
        Ok(Self {
            program: line[0].clone(),
            arguments: line[1..=end].to_vec(),
            folder,
            owner,
        })
    }

    /// Makes an agent's folder as the spoke does. Not part of what is measured.
    pub(crate) fn folder(&self, path: &Path) -> anyhow::Result<()> {
        make_folder(path, self.owner)
    }

    /// Starts `bwrap` in that folder, and waits until the program runs.
    pub(crate) async fn start(&self, folder: &Path) -> anyhow::Result<Raw> {
        let place = folder.display().to_string();
        let mut bwrap = Command::new(&self.program)
            .args(
                self.arguments
                    .iter()
                    .map(|argument| argument.replace(&self.folder, &place)),
            )
            .arg("/bin/sh")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .current_dir("/")
            .uid(self.owner)
            .gid(self.owner)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start bwrap")?;
        let mut stdin = bwrap.stdin.take().context("no pipe")?;
        stdin.write_all(IDLE.as_bytes())?;
        drop(stdin);
        until_ready(&folder.join("worktree")).await?;
        Ok(Raw {
            bwrap,
            folder: folder.to_owned(),
        })
    }
}

/// Makes a folder as an agent of this user has it.
pub(crate) fn make_folder(path: &Path, owner: u32) -> anyhow::Result<()> {
    for part in [path.to_owned(), path.join("worktree"), path.join("home")] {
        fs::create_dir_all(&part)?;
        chown(&part, Some(owner), Some(owner))?;
    }
    Ok(())
}

impl Raw {
    /// The processes inside, to be seen dead: looked up before anything is measured.
    pub(crate) fn inside(&self) -> anyhow::Result<Vec<OwnedFd>> {
        let pids = proc::below(self.bwrap.id())?;
        anyhow::ensure!(!pids.is_empty(), "bwrap has no child");
        let open = |pid| pidfd_open(pid, PidfdFlags::empty());
        Ok(pids.into_iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Kills `bwrap`, waits until everything inside has ended, and removes the folder.
    pub(crate) fn kill(mut self, inside: &[OwnedFd]) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.bwrap), Signal::KILL)?;
        self.bwrap.wait()?;
        for process in inside {
            // Readable is what a handle of a process becomes when it has ended.
            poll(&mut [PollFd::new(process, PollFlags::IN)], None)?;
        }
        Ok(fs::remove_dir_all(&self.folder)?)
    }
}
