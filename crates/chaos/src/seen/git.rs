//! What git says of the repositories that no agent can write.

use super::{Kind, Thing};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What an agent's rescue ref leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The commit, hexadecimal.
    pub commit: String,
    /// Whether every commit, tree and file of it is there.
    pub is_whole: bool,
    /// The repository.
    pub repository: PathBuf,
}

impl Rescued {
    /// The content of a file of it, if it is there.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<String> {
        let shown = git(
            &self.repository,
            &["show", &format!("{}:{path}", self.commit)],
        )
        .ok()?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        shown.status.success().then_some(text)
    }

    /// Whether a commit is this one, or came before it.
    #[must_use]
    pub fn holds(&self, commit: &str) -> bool {
        let asked = ["merge-base", "--is-ancestor", commit, &self.commit];
        git(&self.repository, &asked).is_ok_and(|answer| answer.status.success())
    }
}

/// Finds what was rescued of an agent; `None`: no repository has a rescue ref of it.
///
/// # Errors
/// If git cannot be run.
pub fn rescued(data: &Path, agent: &str) -> Result<Option<Rescued>> {
    for repository in repositories(&data.join("results")) {
        let name = format!("refs/mosaic/agents/{agent}");
        let found = git(&repository, &["rev-parse", "--verify", "--quiet", &name])?;
        if !found.status.success() {
            continue;
        }
        let commit = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let walk = git(&repository, &["rev-list", "--objects", "--quiet", &commit])?;
        return Ok(Some(Rescued {
            commit,
            is_whole: walk.status.success(),
            repository,
        }));
    }
    Ok(None)
}

/// The pins of the caches.
pub(super) fn look(data: &Path) -> Result<Vec<Thing>> {
    let mut things = Vec::new();
    for repository in repositories(&data.join("cache")) {
        let asked = ["for-each-ref", "--format=%(refname)", "refs/mosaic/bases/"];
        let listed = git(&repository, &asked)?;
        let names = String::from_utf8_lossy(&listed.stdout);
        things.extend(names.lines().map(|name| Thing::new(Kind::Pin, name)));
    }
    Ok(things)
}

fn repositories(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = listed.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "git"))
        .collect()
}

fn git(repository: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new("git")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("--git-dir")
        .arg(repository)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .context("cannot run git")
}
