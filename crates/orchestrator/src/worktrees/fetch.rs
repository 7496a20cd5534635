//! The git program, for what needs the network: no shell, no prompt, no configuration of anyone's,
//! one protocol, an environment built from nothing.
//!
//! It never runs in what an agent could write, and never hands git's own words on unread.

use super::{Source, system_failed};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// Longest time for one fetch, the first one of a large repository included.
///
/// A spawn waits for it; a kill does not.
const FETCH_TIME: Duration = Duration::from_secs(600);

/// How much of git's complaints is read: the last lines matter, a hostile server can send endless ones.
const COMPLAINT_MAX: u64 = 64 * 1024;

/// Longest complaint that is handed on, in characters: it ends up in events and receipts.
const DETAIL_MAX: usize = 300;

/// Where git and ssh are found. The spoke's own `PATH` is not handed on.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Git's configuration for us.
///
/// Only two repositories are ever opened under it: our cache, and the source that the spoke's
/// configuration names, which may belong to someone else.
const CONFIGURATION: &str = "[safe]\n\tdirectory = *\n";

/// What is asked of every repository: its branches and its tags, under their own names.
const BRANCHES_AND_TAGS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// Runs git for one spoke.
#[derive(Debug, Clone)]
pub(super) struct Git {
    home: PathBuf,
    configuration: PathBuf,
}

impl Git {
    /// Prepares an empty home and the configuration below `root`.
    pub(super) fn prepare(root: &Path) -> Result<Self, super::Error> {
        let (home, configuration) = (root.join("home"), root.join("gitconfig"));
        fs::create_dir_all(&home).map_err(system_failed("create git's home"))?;
        fs::write(&configuration, CONFIGURATION)
            .map_err(system_failed("write git's configuration"))?;
        Ok(Self {
            home,
            configuration,
        })
    }

    /// Fetches the default branch, all branches and all tags of `source` into the bare repository
    /// at `into`, and forgets branches and tags that are gone.
    ///
    /// # Errors
    /// What git said, without credentials.
    pub(super) async fn fetch(&self, source: &Source, into: &Path) -> Result<(), String> {
        let [branches, tags] = BRANCHES_AND_TAGS;
        let all = ["+HEAD:refs/mosaic/default", branches, tags];
        match self.run(source, into, &all).await {
            // An empty repository, or one whose default branch was deleted, has no HEAD to give.
            Err(detail) if detail.contains("remote ref HEAD") => {
                self.run(source, into, &BRANCHES_AND_TAGS).await
            }
            outcome => outcome,
        }
    }

    async fn run(&self, source: &Source, into: &Path, refs: &[&str]) -> Result<(), String> {
        let mut command = self.command(source, into);
        command.arg("--").arg(address(source)).args(refs);
        let finished = tokio::time::timeout(FETCH_TIME, finish(command)).await;
        finished.unwrap_or_else(|_| Err(format!("took longer than {} s", FETCH_TIME.as_secs())))
    }

    /// Git in an environment built from nothing, allowed no protocol yet.
    pub(super) fn bare(&self) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.configuration)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn command(&self, source: &Source, into: &Path) -> Command {
        let mut command = self.bare();
        command.env("GIT_ALLOW_PROTOCOL", protocol(source));
        if let Source::Ssh { key, .. } = source {
            command.env("GIT_SSH_COMMAND", ssh(key.as_deref()));
        }
        for setting in settings(source) {
            command.args(["-c", &setting]);
        }
        let mut folder = OsString::from("--git-dir=");
        folder.push(into);
        command.arg(folder).args(FETCH);
        command
    }
}

/// The verb and its options.
const FETCH: [&str; 8] = [
    "fetch",
    "--quiet",
    "--prune",
    "--force",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
];

/// Git's settings for this one call; they win over those of the cache.
fn settings(source: &Source) -> Vec<String> {
    let fixed = [
        "core.hooksPath=/dev/null",
        "protocol.allow=never",
        "transfer.fsckObjects=true",
        "http.followRedirects=false",
        "credential.helper=",
        // Agents run as other users and read these objects, whatever the spoke's umask is.
        "core.sharedRepository=0644",
        // One pack for a fetch, however small: thousands of loose files are slow to borrow from.
        "fetch.unpackLimit=1",
    ];
    let mut settings = Vec::from(fixed.map(str::to_owned));
    settings.push(format!("protocol.{}.allow=always", protocol(source)));
    if let Source::Https {
        credentials: Some(file),
        ..
    } = source
    {
        let file = file.display();
        settings.push(format!("credential.helper=store --file={file}"));
    }
    settings
}

/// The one protocol that git may speak.
fn protocol(source: &Source) -> &'static str {
    match source {
        Source::Path(_) => "file",
        Source::Https { .. } => "https",
        Source::Ssh { .. } => "ssh",
    }
}

/// What git is told to fetch from. A plain absolute path is served by upload-pack like any server,
/// without the short cuts of a local clone.
fn address(source: &Source) -> OsString {
    match source {
        Source::Path(path) => path.clone().into_os_string(),
        Source::Https { url, .. } | Source::Ssh { url, .. } => url.into(),
    }
}

/// How ssh is called: no questions, no configuration of the user's, known hosts only.
fn ssh(key: Option<&Path>) -> String {
    let key = key.map_or_else(String::new, |key| {
        format!(" -o IdentitiesOnly=yes -i {}", key.display())
    });
    format!("ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes{key}")
}

/// Waits for git's end.
pub(super) async fn finish(mut command: Command) -> Result<(), String> {
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start git: {error}"))?;
    let mut said = Vec::new();
    if let Some(mut complaints) = child.stderr.take() {
        let mut first = (&mut complaints).take(COMPLAINT_MAX);
        let _ = first.read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut complaints, &mut tokio::io::sink()).await;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| format!("cannot wait for git: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let detail = detail(&String::from_utf8_lossy(&said));
    Err(if detail.is_empty() {
        format!("git ended with {status}")
    } else {
        detail
    })
}

/// The lines of a complaint that say what failed, on one line, without credentials or controls.
fn detail(said: &str) -> String {
    let telling = said
        .lines()
        .filter(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .map(without_user);
    let line = telling.collect::<Vec<_>>().join("; ");
    line.chars()
        .filter(|c| !c.is_control())
        .take(DETAIL_MAX)
        .collect()
}

/// The line with `user:password@` taken out of every address in it.
fn without_user(line: &str) -> String {
    let mut clean = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'')
            .unwrap_or(after.len());
        let start = after[..end].rfind('@').map_or(0, |at| at + 1);
        clean.push_str(before);
        clean.push_str("://");
        clean.push_str(&after[start..end]);
        rest = &after[end..];
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_said_is_handed_on_without_credentials() {
        let said = "remote: try harder\nfatal: unable to access 'https://me:s3cret@host/x/': \u{1b}[31mno\n";
        assert_eq!(
            detail(said),
            "fatal: unable to access 'https://host/x/': [31mno"
        );
        assert!(!detail(&format!("error: {}", "x".repeat(9999))).is_empty());
        assert!(detail(&format!("error: {}", "x".repeat(9999))).len() <= DETAIL_MAX);
    }

    #[test]
    fn a_fetch_runs_with_one_protocol_and_nothing_of_ours_in_its_environment() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::prepare(folder.path()).unwrap();
        let source = Source::Ssh {
            url: "ssh://git@host/x".into(),
            key: Some("/etc/key".into()),
        };
        let command = git.command(&source, Path::new("/data/cache/x.git"));
        let names: Vec<_> = command
            .as_std()
            .get_envs()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in names {
            assert!(
                ["PATH", "LC_ALL", "HOME", "SSH_ASKPASS"].contains(&name.as_str())
                    || name.starts_with("GIT_"),
                "{name}"
            );
        }
        let protocol = |(name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
            name == "GIT_ALLOW_PROTOCOL" && value.is_some_and(|value| value == "ssh")
        };
        assert!(command.as_std().get_envs().any(protocol));
    }
}
