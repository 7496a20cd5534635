//! The processes that are measured: this same program under another first argument.
//!
//! Hub and spoke are the product's own `main`; the two of the floor are in `floor`.

use crate::{console, floor};
use anyhow::Context;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// How long anything that is waited for may take: far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether a process has come up or ended. Nothing measured waits on it.
const LOOK: Duration = Duration::from_millis(10);

/// The hub's.
pub(crate) const HUB: &str = "play-hub";
/// The spoke's.
pub(crate) const SPOKE: &str = "play-spoke";

/// Plays the part that the first argument names, if it names one.
pub(crate) fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let part = arguments.next()?;
    let rest = || std::iter::once(OsString::from("bench")).chain(std::env::args_os().skip(2));
    match part.to_str()? {
        HUB => Some(federation_gateway::main_with(rest())),
        SPOKE => Some(orchestrator::main_with(rest())),
        floor::RELAY => Some(told(floor::relay(Path::new(&arguments.next()?)))),
        floor::SERVER => Some(told(floor::server(Path::new(&arguments.next()?)))),
        _ => None,
    }
}

fn told(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A process of ours. Dropped, it is told to stop, and then waited for.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a part; what it says goes to the file `log`.
    pub(crate) fn start(part: &str, arguments: &[OsString], log: &Path) -> anyhow::Result<Self> {
        let out = File::create(log).context("cannot make a log")?;
        let child = Command::new(std::env::current_exe()?)
            .arg(part)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {part}"))?;
        Ok(Self(child))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it does what it is for; what it said instead is in `log`.
    pub(crate) async fn until(
        &mut self,
        log: &Path,
        is_up: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_up() {
            let said = || fs::read_to_string(log).unwrap_or_default();
            if let Some(ended) = self.0.try_wait()? {
                anyhow::bail!("a process ended ({ended}): {}", said());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "a process does not come up: {}",
                said()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    #[allow(clippy::disallowed_methods)] // nothing is measured any more, and nobody else runs
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM); // it may have ended
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
