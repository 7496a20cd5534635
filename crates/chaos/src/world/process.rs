//! Hub and spoke as processes: this same program under another first argument.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long anything that is waited for may take: far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether a process has come up or ended.
const LOOK: Duration = Duration::from_millis(10);

/// A process of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The hub.
    Hub,
    /// The spoke.
    Spoke,
}

impl Part {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Spoke => "spoke",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it had said last.
    pub last_words: String,
}

/// Plays the part that the first argument names, if it names one.
#[must_use]
pub fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let part = arguments.next()?;
    let rest = std::iter::once(OsString::from("chaos")).chain(arguments);
    match part.to_str()? {
        "play-hub" => Some(federation_gateway::main_with(rest)),
        "play-spoke" => Some(orchestrator::main_with(rest)),
        _ => None,
    }
}

/// A process of ours, killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// Where in the log this life begins.
    from: u64,
}

impl Process {
    /// Starts a part; what it says goes to the end of the file `log`.
    pub(super) fn start(
        program: &Path,
        part: Part,
        (config, log): (&Path, &Path),
        failpoint: Option<&str>,
    ) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        let from = out.metadata()?.len();
        let mut command = Command::new(program);
        command.arg(format!("play-{}", part.name()));
        command.arg("--config").arg(config);
        command.env_remove("MOSAIC_FAILPOINT");
        if let Some(failpoint) = failpoint {
            command.env("MOSAIC_FAILPOINT", failpoint);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start the {}", part.name()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
            from,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it does what it is for.
    pub(super) async fn until(&mut self, serves: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !serves() {
            if let Some(ended) = self.child.try_wait()? {
                bail!("a process ended ({ended}): {}", self.said());
            }
            ensure!(
                Instant::now() < deadline,
                "a process does not come up: {}",
                self.said()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub(super) fn death(&mut self) -> Option<Death> {
        let status = self.child.try_wait().ok()??;
        let said = self.said();
        let lines: Vec<&str> = said.lines().rev().take(5).collect();
        Some(Death {
            signal: status.signal(),
            last_words: lines.into_iter().rev().collect::<Vec<_>>().join("\n"),
        })
    }

    pub(super) fn has_said(&self, text: &str) -> bool {
        self.said().contains(text)
    }

    pub(super) fn ask_to_stop(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM); // it may have ended
    }

    /// Asks it to stop, and waits for it.
    #[allow(clippy::disallowed_methods)] // at the end of a world nothing else runs here
    pub(super) fn stop(&mut self) {
        self.ask_to_stop();
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.child.try_wait().is_ok_and(|ended| ended.is_none())
            && std::time::Instant::now() < deadline
        {
            std::thread::sleep(LOOK);
        }
    }

    fn said(&self) -> String {
        let read = || {
            let mut file = File::open(&self.log).ok()?;
            file.seek(SeekFrom::Start(self.from)).ok()?;
            let mut said = Vec::new();
            file.read_to_end(&mut said).ok()?;
            Some(String::from_utf8_lossy(&said).into_owned())
        };
        read().unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
