//! The commit that leads to everything an agent left. What was left once is never made twice.

use super::Scene;
use git2::{Commit, Oid, Repository, Signature, Time};

/// Most parents of one commit. Git takes more, and tools that draw histories do not.
const PARENTS_MAX: usize = 64;

/// Who makes these commits.
const AUTHOR: (&str, &str) = ("Mosaic rescue", "rescue@mosaic.invalid");

/// Returns the commit that holds `tree`, on top of `head` and with every tip below it, and all
/// commits that the spoke has made for this agent. It is `head` itself if nothing else was left.
pub(super) fn write(
    scene: &Scene<'_>,
    head: Oid,
    tree: Oid,
    tips: Vec<Oid>,
) -> Result<(Oid, Vec<Oid>), git2::Error> {
    let git = scene.results.git();
    let earlier = scene.results.rescued(scene.agent).ok().flatten();
    let noted = scene.results.notes(scene.agent).unwrap_or_default().made;
    let mut made: Vec<Oid> = noted
        .iter()
        .filter_map(|id| Oid::from_str(id).ok())
        .collect();
    let mut parents = bundle(git, head, tips, &mut made)?;
    parents.insert(0, head);
    let clean = parents.len() == 1 && git.find_commit(head)?.tree_id() == tree;
    if let Some(earlier) = earlier.and_then(|id| git.find_commit(id).ok()) {
        let same = earlier.tree_id() == tree && without(&earlier, &made, &parents) == parents;
        if same || clean && earlier.id() == head {
            return Ok((earlier.id(), made));
        }
        if earlier.id() != head && !git.graph_descendant_of(head, earlier.id())? {
            parents.push(earlier.id());
        }
    }
    if clean && parents.len() == 1 {
        return Ok((head, made));
    }
    let message = format!("Rescue what agent {} left\n", scene.agent);
    let rescue = commit(git, tree, &parents, scene.now.as_second(), &message)?;
    made.push(rescue);
    Ok((rescue, made))
}

/// Gathers tips below commits of their own until few enough are left for one.
fn bundle(
    git: &Repository,
    head: Oid,
    mut tips: Vec<Oid>,
    made: &mut Vec<Oid>,
) -> Result<Vec<Oid>, git2::Error> {
    // One place is the head's, one an earlier rescue's.
    while tips.len() > PARENTS_MAX - 2 {
        let some = tips.split_off(tips.len().saturating_sub(PARENTS_MAX));
        let tree = git.find_commit(head)?.tree_id();
        let mut time = 0;
        for tip in &some {
            time = git.find_commit(*tip)?.time().seconds().max(time);
        }
        // Its time is theirs: the same tips give the same commit.
        let bundled = commit(git, tree, &some, time, "Gather what the agent left\n")?;
        tips.insert(0, bundled);
        if !made.contains(&bundled) {
            made.push(bundled);
        }
    }
    Ok(tips)
}

/// The commit's parents, without earlier rescues that are not among the wanted ones.
fn without(commit: &Commit<'_>, made: &[Oid], wanted: &[Oid]) -> Vec<Oid> {
    let parents = commit.parent_ids();
    parents
        .filter(|id| wanted.contains(id) || !made.contains(id))
        .collect()
}

fn commit(
    git: &Repository,
    tree: Oid,
    parents: &[Oid],
    seconds: i64,
    message: &str,
) -> Result<Oid, git2::Error> {
    let author = Signature::new(AUTHOR.0, AUTHOR.1, &Time::new(seconds, 0))?;
    let parents = parents.iter().map(|id| git.find_commit(*id));
    let parents: Vec<Commit<'_>> = parents.collect::<Result<_, _>>()?;
    let parents: Vec<&Commit<'_>> = parents.iter().collect();
    git.commit(
        None,
        &author,
        &author,
        message,
        &git.find_tree(tree)?,
        &parents,
    )
}
