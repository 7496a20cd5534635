//! Which of the agent's commits are whole, and which of those nothing else leads to.
//!
//! A commit of which an object is missing or damaged, here or in any commit before it, is left
//! behind: a rescue that cannot be read back is none. Cost grows with the number of new objects.

use git2::{ObjectType, Odb, OdbLookupFlags, Oid, Repository};
use std::collections::{HashMap, HashSet};

/// The agent's commits that are whole.
#[derive(Debug, Default)]
pub(super) struct History {
    whole: HashSet<Oid>,
    parents: HashSet<Oid>,
}

/// Follows the agent's commits down to what the cache holds, which is whole.
pub(super) fn read(
    git: &Repository,
    cache: &Odb<'_>,
    commits: &[Oid],
) -> Result<History, git2::Error> {
    let odb = git.odb()?;
    let mut graph = Graph::default();
    let own = commits
        .iter()
        .filter(|id| !cache.exists_ext(**id, OdbLookupFlags::NO_REFRESH));
    let own: HashSet<Oid> = own.copied().collect();
    let mut next: Vec<(Oid, ObjectType)> = Vec::new();
    for id in &own {
        graph.meet(*id, ObjectType::Commit, &mut next);
    }
    while let Some((id, kind)) = next.pop() {
        if cache.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
            continue;
        }
        match needs(git, &odb, id, kind) {
            Some(needs) => {
                for (needed, kind) in needs {
                    graph.needed_by.entry(needed).or_default().push(id);
                    graph.meet(needed, kind, &mut next);
                }
            }
            None => graph.broken.push(id),
        }
    }
    let broken = graph.spread();
    let mut history = History::default();
    for id in own {
        if !broken.contains(&id) {
            history.parents.extend(git.find_commit(id)?.parent_ids());
            history.whole.insert(id);
        }
    }
    Ok(history)
}

impl History {
    /// Whether the commit can be built upon: the agent's and whole, or upstream's.
    pub(super) fn holds(&self, commit: Oid, cache: &Odb<'_>) -> bool {
        let upstream = || {
            cache
                .read_header(commit)
                .is_ok_and(|(_, kind)| kind == ObjectType::Commit)
        };
        self.whole.contains(&commit) || upstream()
    }

    /// The whole commits that no other one, nor `head`, leads to, in a fixed order.
    pub(super) fn tips(&self, head: Oid) -> Vec<Oid> {
        let tip = |id: &&Oid| !self.parents.contains(*id) && **id != head;
        let mut tips: Vec<Oid> = self.whole.iter().filter(tip).copied().collect();
        tips.sort();
        tips
    }
}

/// What needs what.
#[derive(Default)]
struct Graph {
    met: HashSet<Oid>,
    needed_by: HashMap<Oid, Vec<Oid>>,
    broken: Vec<Oid>,
}

impl Graph {
    fn meet(&mut self, id: Oid, kind: ObjectType, next: &mut Vec<(Oid, ObjectType)>) {
        if self.met.insert(id) {
            next.push((id, kind));
        }
    }

    /// Everything that is broken because something it needs is.
    fn spread(&mut self) -> HashSet<Oid> {
        let mut broken = HashSet::new();
        while let Some(id) = self.broken.pop() {
            if broken.insert(id) {
                self.broken
                    .extend(self.needed_by.remove(&id).unwrap_or_default());
            }
        }
        broken
    }
}

/// What an object needs to be whole; `None` if it is missing or is not of this kind.
fn needs(
    git: &Repository,
    odb: &Odb<'_>,
    id: Oid,
    kind: ObjectType,
) -> Option<Vec<(Oid, ObjectType)>> {
    match kind {
        ObjectType::Commit => {
            let commit = git.find_commit(id).ok()?;
            let parents = commit.parent_ids().map(|id| (id, ObjectType::Commit));
            Some(
                parents
                    .chain([(commit.tree_id(), ObjectType::Tree)])
                    .collect(),
            )
        }
        ObjectType::Tree => {
            let tree = git.find_tree(id).ok()?;
            let entries = tree.iter().filter_map(|entry| match entry.kind() {
                // A submodule's commit lives elsewhere.
                Some(ObjectType::Commit) | None => None,
                Some(kind) => Some((entry.id(), kind)),
            });
            Some(entries.collect())
        }
        ObjectType::Blob | ObjectType::Tag | ObjectType::Any => {
            let (_, found) = odb.read_header(id).ok()?;
            (found == kind).then(Vec::new)
        }
    }
}
