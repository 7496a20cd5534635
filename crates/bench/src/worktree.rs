//! Adding a worktree against `git worktree add` of the same commit on the same file system.

use crate::lab::{Effort, Lab, git, git_command, make_repository};
use crate::report::{Against, Measured, Row};
use anyhow::Context;
use mosaic_common::{AgentId, Alias, CommandId, SystemClock};
use orchestrator::folders::Folders;
use orchestrator::worktrees::{Checkout, GitWorktrees, Repository, Worktrees};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// The most that the median may be of git's.
const AIM: f64 = 1.0;

/// Measures a small and a large repository.
pub(crate) async fn measure(lab: &Lab) -> Vec<Row> {
    let mut rows = Vec::new();
    for (files, rounds) in [(50, lab.often(60, 2)), (50_000, 3)] {
        let measured = match (files, lab.effort()) {
            (50_000, Effort::Quick) => Err(anyhow::anyhow!("left out by --quick")),
            _ => compare(lab, files, rounds).await,
        };
        let name = format!("adding a worktree of {files} files");
        rows.push(Row::new(
            &name,
            measured.map(|measured| measured.aiming(AIM)),
        ));
    }
    rows
}

async fn compare(lab: &Lab, files: usize, rounds: usize) -> anyhow::Result<Measured> {
    let folder = lab.folder()?;
    let scene = Scene::set(folder.path(), files)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // The first round warms up, and is the one that fetches.
    for round in 0..=rounds {
        let (taken, least) = (scene.ours(files).await?, scene.floor(files)?);
        if round > 0 {
            ours.push(taken);
            floor.push(least);
        }
    }
    Measured::times(ours, floor, Against::Ratio)
}

struct Scene {
    source: PathBuf,
    commit: String,
    worktrees: GitWorktrees,
    floor: PathBuf,
}

impl Scene {
    fn set(folder: &Path, files: usize) -> anyhow::Result<Self> {
        let source = folder.join("source");
        make_repository(&source, files)?;
        let text = format!("[repository]\npath = {source:?}\n");
        let repositories: BTreeMap<Alias, Repository> = toml::from_str(&text)?;
        let folders = Folders::new(folder.join("data"));
        folders.create()?;
        Ok(Self {
            commit: git(&source, &["rev-parse", "HEAD"])?,
            source,
            worktrees: GitWorktrees::new(folders, Arc::new(SystemClock), repositories)?,
            floor: folder.join("floor"),
        })
    }

    /// Adds one as the spoke does, and returns the milliseconds.
    async fn ours(&self, files: usize) -> anyhow::Result<f64> {
        settle(&self.source)?;
        let agent = AgentId::of_command(CommandId::random());
        let alias: Alias = "repository".parse()?;
        let wanted = Checkout {
            repository: alias.clone(),
            base: Some(self.commit.parse()?),
        };
        let begun = Instant::now();
        let made = self.worktrees.add(&agent, Some(&wanted)).await?;
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        check(&made.path, files)?;
        self.worktrees.remove(&agent, Some(&alias)).await?;
        Ok(taken)
    }

    /// Adds one with git, and returns the milliseconds.
    fn floor(&self, files: usize) -> anyhow::Result<f64> {
        settle(&self.source)?;
        let path = self.floor.display().to_string();
        let mut add = git_command(
            &self.source,
            &["worktree", "add", "-q", "-b", "bench", &path, &self.commit],
        );
        let begun = Instant::now();
        let done = add.output().context("cannot run git")?;
        let taken = begun.elapsed().as_secs_f64() * 1e3;
        anyhow::ensure!(done.status.success(), "git worktree add failed");
        check(&self.floor, files)?;
        git(&self.source, &["worktree", "remove", "--force", &path])?;
        git(&self.source, &["branch", "-q", "-D", "bench"])?;
        Ok(taken)
    }
}

/// Has everything written first that the one before left to be written.
fn settle(folder: &Path) -> anyhow::Result<()> {
    let folder = std::fs::File::open(folder)?;
    rustix::fs::syncfs(folder).context("cannot sync the file system")
}

/// Whether the files are really there: what is not made is not faster.
fn check(worktree: &Path, files: usize) -> anyhow::Result<()> {
    let mut found = 0;
    let mut folders = vec![worktree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != ".git" {
                found += 1;
            }
        }
    }
    anyhow::ensure!(found == files, "{found} files instead of {files}");
    Ok(())
}
