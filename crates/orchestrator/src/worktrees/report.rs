//! Tells what an agent left: numbers, commits, then the patch or a bundle, piece by piece.
//!
//! It reads the results only: what the agent's own folder holds by now does not matter. Texts of
//! commits are the agent's words and leave without control characters.

use super::{Commit, Detail, Error, ResultItem, Summary, git_failed, results::Results};
use bytes::{Bytes, BytesMut};
use git2::{Diff, DiffFormat, DiffLineType, DiffOptions, Oid, PackBuilder, Repository, Sort};
use mosaic_common::agent::wire::rescue_ref;
use mosaic_common::{AgentId, proto::CHUNK};
use tokio::sync::mpsc::Sender;

/// Longest subject or author of a commit, in characters: one line on a screen, a few on a small one.
const TEXT_MAX: usize = 200;

/// Sends the agent's result. Ends early, without an error, when the receiver is gone. Blocks.
///
/// # Errors
/// [`Error::NoRescue`], or the step that failed.
pub(super) fn send(
    results: &Results,
    agent: &AgentId,
    detail: Detail,
    to: &Sender<ResultItem>,
) -> Result<(), Error> {
    let (Some(base), Some(rescue)) = (results.base(agent)?, results.rescued(agent)?) else {
        return Err(Error::NoRescue(agent.clone()));
    };
    let made = results.notes(agent)?.made;
    let git = results.git();
    let diff = diff(git, base, rescue).map_err(git_failed("compare with the base"))?;
    let stats = diff.stats();
    let stats = stats.map_err(git_failed("count what changed"))?;
    let commits = commits(git, base, rescue).map_err(git_failed("walk the commits"))?;
    let summary = Summary {
        base_commit: base.to_string(),
        rescue_commit: rescue.to_string(),
        files_changed: stats.files_changed() as u64,
        insertions: stats.insertions() as u64,
        deletions: stats.deletions() as u64,
        commits: commits.len() as u64,
    };
    if to.blocking_send(ResultItem::Summary(summary)).is_err() {
        return Ok(());
    }
    for id in commits {
        let commit = describe(git, id, &made).map_err(git_failed("read a commit"))?;
        if to.blocking_send(ResultItem::Commit(commit)).is_err() {
            return Ok(());
        }
    }
    let pieces = |of| Pieces {
        waiting: BytesMut::new(),
        of,
        to,
        gone: false,
    };
    match detail {
        Detail::Summary => Ok(()),
        Detail::Patch => send_patch(&diff, pieces(ResultItem::Patch)),
        Detail::Bundle => send_bundle(git, (base, rescue), agent, pieces(ResultItem::Bundle)),
    }
}

fn diff(git: &Repository, base: Oid, rescue: Oid) -> Result<Diff<'_>, git2::Error> {
    let (old, new) = (
        git.find_commit(base)?.tree()?,
        git.find_commit(rescue)?.tree()?,
    );
    let mut options = DiffOptions::new();
    // Whole ids and contents: `git apply` takes a binary change only with both.
    options.show_binary(true).id_abbrev(40);
    git.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options))
}

/// Newest first.
fn commits(git: &Repository, base: Oid, rescue: Oid) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = git.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
    walk.push(rescue)?;
    walk.hide(base)?;
    walk.collect()
}

fn describe(git: &Repository, id: Oid, made: &[String]) -> Result<Commit, git2::Error> {
    let commit = git.find_commit(id)?;
    let id = id.to_string();
    let subject = commit.message_bytes();
    let subject = subject
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(Commit {
        subject: plain(subject),
        author: plain(commit.author().name_bytes()),
        rescue: made.contains(&id),
        id,
    })
}

fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .filter(|c| !c.is_control())
        .take(TEXT_MAX)
        .collect()
}

/// Sends the patch as git writes it, in pieces.
fn send_patch(diff: &Diff<'_>, mut pieces: Pieces<'_>) -> Result<(), Error> {
    let printed = diff.print(DiffFormat::Patch, |_, _, line| {
        let sign: &[u8] = match line.origin_value() {
            DiffLineType::Context => b" ",
            DiffLineType::Addition => b"+",
            DiffLineType::Deletion => b"-",
            DiffLineType::ContextEOFNL
            | DiffLineType::AddEOFNL
            | DiffLineType::DeleteEOFNL
            | DiffLineType::FileHeader
            | DiffLineType::HunkHeader
            | DiffLineType::Binary => b"",
        };
        pieces.push(sign) && pieces.push(line.content())
    });
    pieces.end(printed.map_err(git_failed("write the patch")))
}

/// Sends a bundle of what is reachable from the rescue commit and not from the base, in pieces:
/// a header that names both, and a pack (gitformat-bundle(5), version 2).
fn send_bundle(
    git: &Repository,
    (base, rescue): (Oid, Oid),
    agent: &AgentId,
    mut pieces: Pieces<'_>,
) -> Result<(), Error> {
    let header = format!(
        "# v2 git bundle\n-{base} base\n{rescue} {}\n\n",
        rescue_ref(agent)
    );
    let written = pack(git, base, rescue).and_then(|mut pack| {
        if !pieces.push(header.as_bytes()) {
            return Ok(());
        }
        pack.foreach(|bytes| pieces.push(bytes))
    });
    pieces.end(written.map_err(git_failed("write the bundle")))
}

fn pack(git: &Repository, base: Oid, rescue: Oid) -> Result<PackBuilder<'_>, git2::Error> {
    let mut walk = git.revwalk()?;
    walk.push(rescue)?;
    walk.hide(base)?;
    let mut pack = git.packbuilder()?;
    pack.insert_walk(&mut walk)?;
    Ok(pack)
}

/// Bytes on their way to the receiver.
struct Pieces<'a> {
    waiting: BytesMut,
    of: fn(Bytes) -> ResultItem,
    to: &'a Sender<ResultItem>,
    gone: bool,
}

impl Pieces<'_> {
    /// Adds bytes and sends every full piece; `false` if nobody takes them.
    fn push(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            let (now, later) = text.split_at(text.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            text = later;
            if self.waiting.len() == CHUNK && !self.flush() {
                return false;
            }
        }
        true
    }

    /// Sends the rest of what was written, or says why it was not; a receiver that left is no failure.
    fn end(mut self, written: Result<(), Error>) -> Result<(), Error> {
        if !self.gone {
            written?;
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> bool {
        if !self.waiting.is_empty() {
            let piece = (self.of)(self.waiting.split().freeze());
            self.gone = self.to.blocking_send(piece).is_err();
        }
        !self.gone
    }
}
