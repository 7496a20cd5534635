//! Whatever an agent leaves is in its rescue.

use crate::worktrees_site::{Site, act, agent, alias, run, web};
use orchestrator::worktrees::{Error, Most, Worktrees};
use std::fs;

#[tokio::test]
async fn committed_stashed_branched_dirty_and_untracked_work_is_all_there() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let ids = act(
        &worktree,
        "echo one >> a.txt; git commit -qam committed; git rev-parse HEAD
         git checkout -qb other; echo o > o.txt; git add -A; git commit -qm other; git rev-parse HEAD
         git checkout -q -; echo stashed >> a.txt; git stash -q; git rev-parse refs/stash
         echo reset >> a.txt; git commit -qam reset; git rev-parse HEAD; git reset -q --hard HEAD~1
         git checkout -q --detach; echo d > d.txt; git add d.txt; git commit -qm detached
         git rev-parse HEAD; git checkout -q -
         git rm -q run.sh; rm src/deep/main.rs; echo dirty >> kept.log; echo new > 'new file'
         mkdir -p build/x; echo i > build/x/i; echo i > i.log; echo s > staged; git add staged
         ln -s /etc/passwd out; printf '#!/bin/sh' > tool; chmod +x tool",
    );
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.base_commit, worktree.base_commit.unwrap());
    assert_eq!((rescue.ignored_files, rescue.skipped_files), (2, 0));
    for id in ids.lines() {
        site.results(&format!("merge-base --is-ancestor {id} {}", rescue.commit));
    }
    let expected = [
        ".gitignore",
        "a.txt",
        "kept.log",
        "link",
        "new file",
        "out",
        "staged",
        "tool",
    ];
    assert_eq!(site.paths(&rescue.commit), expected);
    assert_eq!(
        site.results(&format!("show {}:out", rescue.commit)),
        "/etc/passwd"
    );
    assert_eq!(
        site.results(&format!("show {}:kept.log", rescue.commit)),
        "kept\ndirty"
    );
    let modes = site.results(&format!("ls-tree {} out tool link a.txt", rescue.commit));
    let modes: Vec<_> = modes.lines().map(|line| &line[..6]).collect();
    assert_eq!(modes, ["100644", "120000", "120000", "100755"]);
    let first = format!("rev-parse {}^1", rescue.commit);
    assert_eq!(site.results(&first), ids.lines().next().unwrap());
    site.results("fsck --strict --no-dangling");
}

#[tokio::test]
async fn an_agent_that_left_nothing_gets_no_commit() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.commit, rescue.base_commit);
    act(&worktree, "echo x >> a.txt; git commit -qam mine");
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.commit, act(&worktree, "git rev-parse HEAD"));
}

#[tokio::test]
async fn a_repacked_repository_is_rescued_too() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script =
        "seq 1 5000 > big; git add -A; git commit -qm one; echo x >> big; git commit -qam two
         git gc -q --prune=now; git pack-refs --all; ls ../repo.git/objects; git rev-parse HEAD";
    let said = act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.commit, said.lines().last().unwrap());
    assert_eq!(rescue.skipped_files, 0);
    site.results("fsck --strict --no-dangling");
}

#[tokio::test]
async fn rescuing_again_gives_the_same_commit_and_later_work_joins_it() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(
        &worktree,
        "echo x > x; git stash -qu; echo y > y; touch i.log",
    );
    let first = site.rescue(&agent(0)).await;
    assert_eq!(site.rescue(&agent(0)).await, first);
    act(&worktree, "echo z > z");
    let second = site.rescue(&agent(0)).await;
    assert_ne!(second.commit, first.commit);
    assert_eq!(site.rescue(&agent(0)).await, second);
    site.results(&format!(
        "merge-base --is-ancestor {} {}",
        first.commit, second.commit
    ));
    site.worktrees
        .remove(&agent(0), Some(&alias("web")))
        .await
        .unwrap();
    assert_eq!(
        site.rescue(&agent(0)).await,
        second,
        "the folder is gone, the work is not"
    );
}

#[tokio::test]
async fn removing_twice_succeeds_and_forgets_the_pin() {
    let site = Site::new();
    site.add(&agent(0)).await;
    let cache = site.folders.cache().join("web.git");
    let pins = || run(&cache, None, "git for-each-ref refs/mosaic/bases").stdout;
    assert!(!pins().is_empty());
    site.rescue(&agent(0)).await;
    for _ in 0..2 {
        site.worktrees
            .remove(&agent(0), Some(&alias("web")))
            .await
            .unwrap();
    }
    assert!(pins().is_empty() && site.worktrees.list().await.unwrap().is_empty());
    assert!(
        site.worktrees.remove(&agent(9), None).await.is_ok(),
        "never was"
    );
}

#[tokio::test]
async fn an_agent_that_never_had_a_whole_tree_has_nothing_to_rescue() {
    let site = Site::new();
    let rescue = site.worktrees.rescue(&agent(0), &alias("web")).await;
    assert!(matches!(rescue, Err(Error::NoRescue(_))));
    site.folders.claim(&agent(0)).unwrap();
    let rescue = site.worktrees.rescue(&agent(0), &alias("web")).await;
    assert!(matches!(rescue, Err(Error::NoRescue(_))));
}

#[tokio::test]
async fn an_agent_can_be_added_again_without_losing_its_first_work() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "echo first > first");
    let first = site.rescue(&agent(0)).await;
    site.worktrees
        .remove(&agent(0), Some(&alias("web")))
        .await
        .unwrap();
    let worktree = site
        .worktrees
        .add(&agent(0), Some(&web(None)))
        .await
        .unwrap();
    act(&worktree, "echo second > second");
    let second = site.rescue(&agent(0)).await;
    site.results(&format!(
        "merge-base --is-ancestor {} {}",
        first.commit, second.commit
    ));
    assert!(site.paths(&second.commit).contains(&"second".to_owned()));
}

#[tokio::test]
async fn a_hundred_loose_ends_are_gathered() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script = "for n in $(seq 150); do echo $n > a.txt; git commit -qam $n; git rev-parse HEAD
         git reset -q --hard HEAD~1; done";
    let ids = act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    let kept = site.results(&format!("rev-list {}", rescue.commit));
    assert!(ids.lines().all(|id| kept.contains(id)));
    assert_eq!(site.rescue(&agent(0)).await, rescue);
}

#[tokio::test]
async fn ignored_files_are_kept_where_the_configuration_says_so() {
    let site = Site::with("ignored = 'include'", Most::default());
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "mkdir build; echo b > build/b; echo l > l.log");
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.ignored_files, 0);
    let paths = site.paths(&rescue.commit);
    assert!(paths.contains(&"build/b".to_owned()) && paths.contains(&"l.log".to_owned()));
}

#[tokio::test]
async fn what_is_ignored_is_what_git_ignores() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script = "echo '/private' >> ../repo.git/info/exclude || { mkdir -p ../repo.git/info; echo '/private' > ../repo.git/info/exclude; }
         echo p > private; mkdir -p n/keep n/drop sub; echo p > n/private
         printf '*\\n!keep\\n!keep/**\\n!.gitignore\\n' > n/.gitignore; echo k > n/keep/k; echo d > n/drop/d
         printf '# c\\n\\n*.tmp\\n!yes.tmp\\n\\\\#x\\nfoo/\\n' > sub/.gitignore; touch sub/a.tmp sub/yes.tmp sub/foo 'sub/#x'
         echo q > \"$(printf 'odd\\nname')\"; echo u > $(printf '\\377')
         git ls-files -co --exclude-standard -z | sort -z | tr '\\0' '|'";
    let expected = act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    let listed = format!(
        "ls-tree -r --name-only -z {} | sort -z | tr '\\0' '|'",
        rescue.commit
    );
    assert_eq!(site.results(&listed), expected);
}

#[tokio::test]
async fn line_ends_that_a_checkout_made_are_no_change() {
    let site = Site::new();
    let script = "printf '*.bat text eol=crlf\\n' > .gitattributes; printf 'a\\nb\\n' > x.bat
         git add -A; git commit -qm bat";
    run(&site.source(), None, script);
    let worktree = site.add(&agent(0)).await;
    assert_eq!(
        fs::read(worktree.path.join("x.bat")).unwrap(),
        b"a\r\nb\r\n"
    );
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.commit, rescue.base_commit);
}
