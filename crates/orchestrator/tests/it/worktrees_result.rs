//! What comes out of an agent's result.

use crate::worktrees_site::{Site, act, agent, alias, run};
use mosaic_common::proto::CHUNK;
use orchestrator::worktrees::{Detail, Error, ResultItem, Worktrees};
use std::{fs, process::Command};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_patch_gives_the_agents_tree_again() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(
        &worktree,
        "echo x >> a.txt; git commit -qam 'mine \u{7}[31m'; git mv run.sh moved.sh; chmod -x moved.sh
         head -c 5000 /dev/urandom > binary; printf 'no end' > 'odd name'; : > empty; rm link; ln -s there link
         chmod +x kept.log; echo q > \"$(printf 'q\\t\"q')\"; rm -r src",
    );
    let rescue = site.rescue(&agent(0)).await;
    site.worktrees
        .remove(&agent(0), Some(&alias("web")))
        .await
        .unwrap();
    let outcome = site.result(&agent(0), Detail::Patch).await;
    let summary = outcome.summary.unwrap();
    assert_eq!(summary.rescue_commit, rescue.commit);
    assert_eq!((summary.commits, outcome.commits.len()), (2, 2));
    assert!(outcome.commits[0].rescue && !outcome.commits[1].rescue);
    assert_eq!(outcome.commits[0].author, "Mosaic rescue");
    assert_eq!(outcome.commits[1].subject, "mine [31m");
    assert!(summary.files_changed >= 8 && summary.insertions > 0 && summary.deletions > 0);
    let patch = site.root.path().join("patch");
    fs::write(&patch, &outcome.patch).unwrap();
    let script = format!("git apply --index {} && git write-tree", patch.display());
    let tree = String::from_utf8(run(&site.source(), None, &script).stdout).unwrap();
    assert_eq!(
        tree.trim(),
        site.results(&format!("rev-parse {}^{{tree}}", rescue.commit))
    );
}

#[tokio::test]
async fn a_bundle_is_fetched_by_git_into_a_clone_that_has_the_base() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let work = "echo x >> a.txt; git commit -qam mine; head -c 300000 /dev/urandom > binary";
    act(&worktree, work);
    let rescue = site.rescue(&agent(0)).await;
    let outcome = site.result(&agent(0), Detail::Bundle).await;
    assert!(outcome.patch.is_empty());
    assert!(outcome.largest <= CHUNK && outcome.bundle.len() > 300_000);
    let bundle = site.root.path().join("work.bundle");
    fs::write(&bundle, &outcome.bundle).unwrap();
    let script = format!(
        "git bundle verify -q {0} && git fetch -q {0} refs/mosaic/agents/{1}:refs/heads/theirs && \
         git fsck --strict --no-dangling && git rev-parse theirs",
        bundle.display(),
        agent(0)
    );
    let fetched = String::from_utf8(run(&site.source(), None, &script).stdout).unwrap();
    assert_eq!(fetched.lines().last(), Some(rescue.commit.as_str()));
    // Without the base git says what is missing, and takes nothing.
    let empty = site.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let script = format!(
        "git init -q . && ! git bundle verify -q {} 2>/dev/null",
        bundle.display()
    );
    run(&empty, None, &script);
}

#[tokio::test]
async fn a_bundle_of_an_agent_that_changed_nothing_can_be_fetched() {
    let site = Site::new();
    site.add(&agent(0)).await;
    site.rescue(&agent(0)).await;
    let outcome = site.result(&agent(0), Detail::Bundle).await;
    let bundle = site.root.path().join("none.bundle");
    fs::write(&bundle, &outcome.bundle).unwrap();
    let script = format!(
        "git fetch -q {} refs/mosaic/agents/{}",
        bundle.display(),
        agent(0)
    );
    assert!(run(&site.source(), None, &script).status.success());
}

#[tokio::test]
async fn a_commit_that_only_looks_like_a_rescue_is_not_called_one() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(
        &worktree,
        "echo x >> a.txt; git -c user.name='Mosaic rescue' -c user.email=rescue@mosaic.invalid commit -qam forged",
    );
    site.rescue(&agent(0)).await;
    let outcome = site.result(&agent(0), Detail::Summary).await;
    assert!(!outcome.commits[0].rescue && outcome.patch.is_empty());
}

#[tokio::test]
async fn a_hundred_megabytes_of_patch_come_in_small_pieces() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "seq 1 13000000 > large");
    site.rescue(&agent(0)).await;
    let outcome = site.result(&agent(0), Detail::Patch).await;
    assert!(outcome.patch.len() > 100 << 20);
    assert!(outcome.largest <= CHUNK);
    assert_eq!(outcome.summary.unwrap().insertions, 13_000_000);
    let patch = site.root.path().join("patch");
    fs::write(&patch, &outcome.patch).unwrap();
    let applied = Command::new("git")
        .arg("apply")
        .arg(&patch)
        .current_dir(site.source())
        .status();
    assert!(applied.unwrap().success());
    assert_eq!(
        fs::read(site.source().join("large")).unwrap(),
        fs::read(worktree.path.join("large")).unwrap()
    );
}

#[tokio::test]
async fn a_receiver_that_leaves_ends_it_without_an_error() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "seq 1 1000000 > large");
    site.rescue(&agent(0)).await;
    let (to, mut from) = mpsc::channel(1);
    let (worktrees, agent) = (site.worktrees.clone(), agent(0));
    let sending = tokio::spawn(async move {
        worktrees
            .result(&agent, &alias("web"), Detail::Patch, to)
            .await
    });
    assert!(matches!(from.recv().await, Some(ResultItem::Summary(_))));
    drop(from);
    assert!(sending.await.unwrap().is_ok());
}

#[tokio::test]
async fn an_agent_without_rescued_work_has_no_result() {
    let site = Site::new();
    site.add(&agent(0)).await;
    let (to, _from) = mpsc::channel(1);
    let result = site
        .worktrees
        .result(&agent(0), &alias("web"), Detail::Summary, to)
        .await;
    assert!(matches!(result, Err(Error::NoRescue(_))));
}
