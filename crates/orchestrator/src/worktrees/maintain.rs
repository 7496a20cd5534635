//! Git's own upkeep of the spoke's repositories, in the same locked-down environment as a fetch.
//!
//! None of it ever takes an object away: agents and rescued work borrow objects that no ref of the
//! lender names.

use super::fetch::{Git, finish};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

/// Longest time for one call. Nobody waits for it; a git that hangs must not hold up the next.
const TIME: Duration = Duration::from_secs(3600);

/// Settings of every call: nothing of the repository's runs, and it takes one processor and
/// bounded memory from the agents.
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
    "pack.threads=1",
    "pack.windowMemory=256m",
    // Agents run as other users and read a cache's objects; nobody passes the results' folder.
    "core.sharedRepository=0644",
];

/// What every repack is told: no files for dumb servers, nothing printed, no bitmaps, which would
/// be made anew each time and serve nobody here.
const QUIETLY: [&str; 3] = ["-n", "-q", "--no-write-bitmap-index"];

impl Git {
    /// Puts small packs together until each is at least twice the next smaller one, and all loose
    /// objects into one. Every object of what is replaced is in what replaces it.
    ///
    /// # Errors
    /// What git said.
    pub(super) async fn consolidate(&self, repository: &Path) -> Result<(), String> {
        let mut command = self.upkeep(repository);
        command
            .args(["repack", "-d", "--geometric=2"])
            .args(QUIETLY);
        within(command).await
    }

    /// Copies every object that the repository's refs lead to and that it borrows into a pack of
    /// its own. Keeps what no ref leads to: a rescue may be writing it.
    ///
    /// # Errors
    /// What git said.
    pub(super) async fn copy_borrowed(&self, repository: &Path) -> Result<(), String> {
        let mut command = self.upkeep(repository);
        command.args(["repack", "-a", "-d", "-k"]).args(QUIETLY);
        within(command).await
    }

    /// Checks that the packs in `packs` hold everything that `tips` lead to, without any help. It is
    /// done in a repository made at `draft`, which is left there.
    ///
    /// # Errors
    /// What git said; an object that is missing, too.
    pub(super) async fn verify_whole(
        &self,
        packs: &Path,
        tips: &str,
        draft: &Path,
    ) -> Result<(), String> {
        let tips = stand_in(packs, tips, draft).map_err(|error| error.to_string())?;
        let mut command = self.upkeep(draft);
        command
            .args(["rev-list", "--objects", "--quiet", "--stdin"])
            .stdin(Stdio::from(tips));
        within(command).await
    }

    fn upkeep(&self, repository: &Path) -> Command {
        let mut command = self.bare();
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("--git-dir").arg(repository);
        command
    }
}

/// Makes a repository that has these packs and nothing else; returns the tips as a file.
fn stand_in(packs: &Path, tips: &str, draft: &Path) -> io::Result<File> {
    fs::create_dir_all(draft.join("refs"))?;
    fs::create_dir_all(draft.join("objects"))?;
    fs::write(draft.join("HEAD"), "ref: refs/heads/none\n")?;
    symlink(packs, draft.join("objects/pack"))?;
    fs::write(draft.join("tips"), tips)?;
    File::open(draft.join("tips"))
}

async fn within(command: Command) -> Result<(), String> {
    let finished = tokio::time::timeout(TIME, finish(command)).await;
    finished.unwrap_or_else(|_| Err(format!("took longer than {} s", TIME.as_secs())))
}
