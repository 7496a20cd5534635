//! Where it is measured, how often, and what there is on this machine.

use crate::site::{Site, pass_through};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How thoroughly to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Enough samples for numbers.
    Full,
    /// Just enough to see that it works.
    Quick,
}

/// A place to measure in.
#[derive(Debug)]
pub(crate) struct Lab {
    root: PathBuf,
    effort: Effort,
    /// Why agents cannot live in bubblewrap here.
    bubblewrap: Result<(), String>,
}

impl Lab {
    /// Below `root`, whose file system is measured too.
    pub(crate) fn new(root: PathBuf, effort: Effort) -> anyhow::Result<Self> {
        let probe = tempfile::tempdir_in(&root).context("cannot work in the folder")?;
        pass_through(probe.path())?;
        Ok(Self {
            bubblewrap: orchestrator::bubblewrap_works(probe.path()),
            root,
            effort,
        })
    }

    /// How thoroughly to measure.
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// A number of samples, or of whatever makes them.
    pub(crate) fn often(&self, full: usize, quick: usize) -> usize {
        match self.effort {
            Effort::Full => full,
            Effort::Quick => quick,
        }
    }

    /// A new folder that agents can pass through.
    pub(crate) fn folder(&self) -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::Builder::new()
            .prefix("mosaic-bench-")
            .tempdir_in(&self.root)?;
        pass_through(folder.path())?;
        Ok(folder)
    }

    /// Fails if agents cannot live in bubblewrap here.
    pub(crate) fn needs_bubblewrap(&self) -> anyhow::Result<()> {
        let works = self.bubblewrap.clone();
        works.map_err(|why| anyhow::anyhow!("bubblewrap does not work here: {why}"))
    }

    /// A hub and a spoke in `folder`, and a repository of 50 files for their agents.
    pub(crate) async fn site(&self, folder: &Path) -> anyhow::Result<Site> {
        let works = self.bubblewrap.is_ok();
        let sandbox = if works { "bubblewrap" } else { "process" };
        self.site_with(folder, sandbox).await
    }

    /// The same, for agents in this sandbox.
    pub(crate) async fn site_with(&self, folder: &Path, sandbox: &str) -> anyhow::Result<Site> {
        let repository = folder.join("repository");
        make_repository(&repository, 50)?;
        Site::start(folder, sandbox, &repository).await
    }
}

/// Makes a repository of so many files of about two kilobytes, a hundred in each folder, packed
/// as a clone is.
pub(crate) fn make_repository(path: &Path, files: usize) -> anyhow::Result<()> {
    for number in 0..files {
        let folder = path.join(format!("part{:03}/sub{}", number / 100, number / 50 % 2));
        if number % 50 == 0 {
            std::fs::create_dir_all(&folder)?;
        }
        // Not to be compressed away, and another one in each file.
        let line = |line: usize| {
            format!(
                "let value_{line} = {};\n",
                number.wrapping_mul(7919) ^ (line * 104_729)
            )
        };
        let text: String = (0..80).map(line).collect();
        std::fs::write(folder.join(format!("file{number:05}.rs")), text)?;
    }
    git(path, &["init", "-q", "-b", "main"])?;
    git(path, &["add", "."])?;
    let who = [
        "-c",
        "user.name=Bench",
        "-c",
        "user.email=bench@example.invalid",
    ];
    git(path, &[&who[..], &["commit", "-q", "-m", "Begin"]].concat())?;
    git(path, &["gc", "-q"])?;
    Ok(())
}

/// Runs git with nothing of this machine's configuration; it must succeed. Returns what it said.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let done = git_command(folder, arguments)
        .output()
        .context("cannot run git")?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(
        done.status.success(),
        "git {arguments:?}: {}",
        complaint.trim()
    );
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Git with nothing of this machine's configuration.
pub(crate) fn git_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        // Collection in the background would go on while something is measured.
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}
