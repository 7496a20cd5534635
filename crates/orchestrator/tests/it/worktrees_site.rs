//! A spoke's working trees in a throw-away folder, a repository to work on, and an agent that
//! uses the real git, as the user that owns its folder.

use mosaic_common::{AgentId, Alias, clock::SystemClock};
use orchestrator::folders::Folders;
use orchestrator::worktrees::{
    Checkout, Detail, GitWorktrees, Most, Rescue, ResultItem, Summary, Worktree, Worktrees,
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(crate) struct Site {
    pub(crate) root: TempDir,
    pub(crate) folders: Folders,
    pub(crate) worktrees: Arc<GitWorktrees>,
}

impl Site {
    /// A site with the repository `web`: `main` with a few files, branch `side`, tag `v1`.
    pub(crate) fn new() -> Self {
        Self::with("", Most::default())
    }

    /// The same, with more lines for the repository's configuration and another limit.
    pub(crate) fn with(settings: &str, most: Most) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Agents run as other users and have to come through.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let source = root.path().join("web.git");
        fs::create_dir(&source).unwrap();
        let script = "git init -q -b main . && git config user.name Up && git config user.email up@x.y
            printf 'one\\ntwo\\n' > a.txt && mkdir -p src/deep && echo 'fn main() {}' > src/deep/main.rs
            printf '*.log\\nbuild/\\n' > .gitignore && echo kept > kept.log && ln -s a.txt link
            printf '#!/bin/sh\\n' > run.sh && chmod +x run.sh
            git add -Af . && git commit -qm first && git tag v1
            git checkout -qb side && echo side > side.txt && git add -A && git commit -qm side
            git checkout -q main && echo three >> a.txt && git commit -qam second";
        run(&source, None, script);
        let folders = Folders::new(root.path().join("data"));
        folders.create().unwrap();
        let text = format!("[web]\npath = '{}'\n{settings}", source.display());
        let repositories: BTreeMap<Alias, _> = toml::from_str(&text).unwrap();
        let worktrees =
            GitWorktrees::new(folders.clone(), Arc::new(SystemClock), repositories).unwrap();
        Self {
            root,
            folders,
            worktrees: Arc::new(worktrees.with_most(most)),
        }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.root.path().join("web.git")
    }

    pub(crate) async fn add(&self, agent: &AgentId) -> Worktree {
        self.worktrees.add(agent, Some(&web(None))).await.unwrap()
    }

    pub(crate) async fn rescue(&self, agent: &AgentId) -> Rescue {
        self.worktrees.rescue(agent, &alias("web")).await.unwrap()
    }

    /// Git's own word on the results: the answer to `git ARGUMENTS` there.
    pub(crate) fn results(&self, arguments: &str) -> String {
        let folder = self.folders.results().join("web.git");
        text(&run(&folder, None, &format!("git {arguments}")))
    }

    /// Every path in a commit of the results.
    pub(crate) fn paths(&self, commit: &str) -> Vec<String> {
        let listed = self.results(&format!("ls-tree -r --name-only {commit}"));
        listed.lines().map(ToOwned::to_owned).collect()
    }

    pub(crate) async fn result(&self, agent: &AgentId, detail: Detail) -> Outcome {
        let (to, mut from) = mpsc::channel(4);
        let (worktrees, agent) = (self.worktrees.clone(), agent.clone());
        let sending =
            tokio::spawn(async move { worktrees.result(&agent, &alias("web"), detail, to).await });
        let mut outcome = Outcome::default();
        while let Some(item) = from.recv().await {
            match item {
                ResultItem::Summary(summary) => outcome.summary = Some(summary),
                ResultItem::Commit(commit) => outcome.commits.push(commit),
                ResultItem::Patch(piece) => {
                    outcome.largest = outcome.largest.max(piece.len());
                    outcome.patch.extend_from_slice(&piece);
                }
                ResultItem::Bundle(piece) => {
                    outcome.largest = outcome.largest.max(piece.len());
                    outcome.bundle.extend_from_slice(&piece);
                }
            }
        }
        sending.await.unwrap().unwrap();
        outcome
    }
}

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) summary: Option<Summary>,
    pub(crate) commits: Vec<orchestrator::worktrees::Commit>,
    pub(crate) patch: Vec<u8>,
    pub(crate) bundle: Vec<u8>,
    pub(crate) largest: usize,
}

pub(crate) fn alias(text: &str) -> Alias {
    text.parse().unwrap()
}

/// The agent of this number.
pub(crate) fn agent(number: u8) -> AgentId {
    let last = char::from(b'a' + number);
    format!("ag_{}{last}", "a".repeat(25)).parse().unwrap()
}

pub(crate) fn web(base: Option<&str>) -> Checkout {
    Checkout {
        repository: alias("web"),
        base: base.map(|base| base.parse().unwrap()),
    }
}

/// Runs a shell script as the agent, in its working tree; it must succeed.
pub(crate) fn act(worktree: &Worktree, script: &str) -> String {
    text(&run(&worktree.path, worktree.owner, script))
}

/// Runs a shell script as the agent, in its working tree, and says how it ended.
pub(crate) fn attempt(worktree: &Worktree, script: &str) -> Output {
    command(&worktree.path, worktree.owner, script)
        .output()
        .unwrap()
}

pub(crate) fn run(folder: &Path, user: Option<u32>, script: &str) -> Output {
    let output = command(folder, user, script).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {complaint}");
    output
}

fn command(folder: &Path, user: Option<u32>, script: &str) -> Command {
    let mut command = match user {
        None => Command::new("sh"),
        Some(user) => {
            let mut command = Command::new("setpriv");
            let ids = [format!("--reuid={user}"), format!("--regid={user}")];
            command.args(ids).args(["--clear-groups", "sh"]);
            command
        }
    };
    let home = folder.parent().unwrap().join("home");
    command
        .args(["-ec", script])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .current_dir(folder);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
