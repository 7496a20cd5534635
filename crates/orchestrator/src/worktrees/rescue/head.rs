//! Which commit the agent's working tree was on, read as plain text from the agent's repository.
//!
//! It is only a claim: the caller uses it if the commit is whole.

use crate::worktrees::handle::Folder;
use git2::Oid;
use mosaic_common::AgentId;

/// Most of a ref that is read: a commit id, or the name of another ref.
const REF_MAX: u64 = 4096;

/// Most of the packed refs that is read: some 100,000 of them.
const PACKED_MAX: u64 = 16 << 20;

/// How many refs may name one another. Git's own limit.
const HOPS: usize = 5;

/// The commit that `HEAD` names, if it can be found out.
pub(super) fn read(repository: &Folder, agent: &AgentId) -> Option<Oid> {
    let trees = repository.folder(b"worktrees").ok()?;
    let own = trees.folder(agent.as_str().as_bytes()).ok()?;
    let mut text = own.read(b"HEAD", REF_MAX).ok()?;
    for _ in 0..HOPS {
        match text.trim_ascii().strip_prefix(b"ref: ") {
            None => return id(&text),
            Some(name) => text = named(repository, name)?,
        }
    }
    None
}

/// What a ref holds, loose or packed.
fn named(repository: &Folder, name: &[u8]) -> Option<Vec<u8>> {
    loose(repository, name).or_else(|| {
        let packed = repository.read(b"packed-refs", PACKED_MAX).ok()?;
        let mut lines = packed.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let (id, rest) = line.split_at_checked(40)?;
            (rest.strip_prefix(b" ") == Some(name)).then(|| id.to_vec())
        })
    })
}

fn loose(repository: &Folder, name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
    let file = parts.pop()?;
    let mut parts = parts.into_iter();
    // Refs live in `refs`; anything else may be named in a HEAD and is none.
    let first = parts.next().filter(|first| *first == b"refs")?;
    let mut folder = repository.folder(first).ok()?;
    for part in parts {
        folder = folder.folder(part).ok()?;
    }
    folder.read(file, REF_MAX).ok()
}

fn id(text: &[u8]) -> Option<Oid> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    (text.len() == 40).then(|| Oid::from_str(text).ok())?
}
