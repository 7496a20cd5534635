//! Counts what a spoke has on this machine, without asking the spoke: processes, namespaces,
//! containers, folders, refs, and the store opened read-only. It changes nothing.

mod processes;

use anyhow::{Context, Result};
use mosaic_common::AgentId;
use mosaic_common::agent::AgentRecord;
use mosaic_store::{EmbeddedStore, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inventory {
    /// Agents' folders, each with its private repository and worktree.
    pub(crate) worktrees: usize,
    /// Supervisors' folders and containers: one for each sandbox.
    pub(crate) sandboxes: usize,
    /// Processes that belong to an agent, wherever they went.
    pub(crate) processes: usize,
    /// Process namespaces of those, other than the machine's own.
    pub(crate) namespaces: usize,
    /// Base commits pinned for agents.
    pub(crate) pins: usize,
    /// Folders of work that could not be rescued.
    pub(crate) quarantined: usize,
    /// Records of agents that have not ended.
    pub(crate) live_records: usize,
    /// Records of agents that have.
    pub(crate) archived_records: usize,
    /// Rescue refs whose commits, trees and files are all there.
    pub(crate) rescue_refs: usize,
    /// Rescue refs that lead nowhere.
    pub(crate) broken_refs: usize,
}

impl Inventory {
    /// Takes stock of a spoke's data folder and of this machine's processes.
    pub(crate) async fn take(data: &Path, docker: &Path) -> Result<Self> {
        let records = records(data).await.context("cannot read the store")?;
        let ids: BTreeSet<AgentId> = records.iter().map(|record| record.id().clone()).collect();
        let (processes, namespaces) = processes::of(&ids)?;
        let (rescue_refs, broken_refs) = rescued(&data.join("results"))?;
        Ok(Self {
            worktrees: entries(&data.join("agents"))?,
            sandboxes: entries(&data.join("run"))? + containers(data, docker).await?,
            processes,
            namespaces,
            pins: refs(&data.join("cache"), "refs/mosaic/bases/")?.len(),
            quarantined: entries(&data.join("quarantine"))?,
            live_records: records
                .iter()
                .filter(|record| !record.state.is_final())
                .count(),
            archived_records: records
                .iter()
                .filter(|record| record.state.is_final())
                .count(),
            rescue_refs,
            broken_refs,
        })
    }

    /// Each count with its name.
    pub(crate) fn rows(&self) -> [(&'static str, usize); 10] {
        [
            ("sandboxes", self.sandboxes),
            ("processes", self.processes),
            ("namespaces", self.namespaces),
            ("worktrees", self.worktrees),
            ("pinned bases", self.pins),
            ("in quarantine", self.quarantined),
            ("live records", self.live_records),
            ("archived records", self.archived_records),
            ("rescue refs", self.rescue_refs),
            ("broken rescue refs", self.broken_refs),
        ]
    }

    /// Adds another spoke's stock.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            worktrees: self.worktrees + other.worktrees,
            sandboxes: self.sandboxes + other.sandboxes,
            processes: self.processes + other.processes,
            namespaces: self.namespaces + other.namespaces,
            pins: self.pins + other.pins,
            quarantined: self.quarantined + other.quarantined,
            live_records: self.live_records + other.live_records,
            archived_records: self.archived_records + other.archived_records,
            rescue_refs: self.rescue_refs + other.rescue_refs,
            broken_refs: self.broken_refs + other.broken_refs,
        }
    }
}

async fn records(data: &Path) -> Result<Vec<AgentRecord>> {
    /// Rows read at once.
    const PAGE: usize = 500;
    let reader = EmbeddedStore::open_read_only(&data.join("store"))?;
    let (mut before, mut records) = (None, Vec::new());
    loop {
        let page = reader.scan(Table::Agents, before, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(records);
        };
        before = Some(last.number);
        for row in page {
            records.push(
                serde_json::from_slice(&row.value)
                    .with_context(|| format!("the row of {}", row.key))?,
            );
        }
    }
}

/// How many containers the spoke has, if there is an engine.
async fn containers(data: &Path, docker: &Path) -> Result<usize> {
    if !docker.exists() {
        return Ok(0);
    }
    match orchestrator::sandbox::docker::agents_of(docker, data).await {
        Ok(agents) => Ok(agents.len()),
        Err(why) => anyhow::bail!("the engine at {} cannot be asked: {why}", docker.display()),
    }
}

/// How many agents' entries a folder has.
fn entries(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        count += usize::from(
            entry?
                .file_name()
                .to_string_lossy()
                .parse::<AgentId>()
                .is_ok(),
        );
    }
    Ok(count)
}

/// Refs below a prefix, of every repository in a folder.
fn refs(folder: &Path, prefix: &str) -> Result<Vec<(std::path::PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let repository = entry?.path();
        let listed = git(&repository)
            .args(["for-each-ref", "--format=%(refname)", prefix])
            .output()?;
        let names = String::from_utf8_lossy(&listed.stdout);
        found.extend(
            names
                .lines()
                .map(|name| (repository.clone(), name.to_owned())),
        );
    }
    Ok(found)
}

/// Rescue refs that hold everything they name, and those that do not.
fn rescued(results: &Path) -> Result<(usize, usize)> {
    let (mut whole, mut broken) = (0, 0);
    for (repository, name) in refs(results, "refs/mosaic/agents/")? {
        let walk = git(&repository)
            .args(["rev-list", "--objects", "--quiet", &name])
            .status()?;
        if walk.success() {
            whole += 1;
        } else {
            broken += 1;
        }
    }
    Ok((whole, broken))
}

/// Git in a repository that no agent can write.
fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("--git-dir")
        .arg(repository)
        .stderr(std::process::Stdio::null());
    command
}
