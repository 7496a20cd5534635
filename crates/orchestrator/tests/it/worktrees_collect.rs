//! Keeping the caches small, while agents come and go.

use crate::worktrees_site::{Site, act, agent, alias, run, web};
use orchestrator::worktrees::{Checkout, Detail, Most, Worktrees};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a spawn may wait for a collection.
const WAIT_MAX: Duration = Duration::from_millis(100);

impl Site {
    fn cache(&self) -> PathBuf {
        self.folders.cache().join("web.git")
    }

    /// Every object in the cache, whether a ref leads to it or not.
    fn cached(&self) -> Vec<String> {
        let script = "git cat-file --batch-all-objects --batch-check='%(objectname)'";
        let listed = run(&self.cache(), None, script).stdout;
        let mut ids: Vec<_> = String::from_utf8(listed)
            .unwrap()
            .lines()
            .map(ToOwned::to_owned)
            .collect();
        ids.sort();
        ids
    }

    fn packs(&self) -> usize {
        let packs = fs::read_dir(self.cache().join("objects/pack")).unwrap();
        let is_pack = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".pack");
        packs
            .filter(|entry| is_pack(&entry.as_ref().unwrap().file_name()))
            .count()
    }

    async fn end(&self, number: u8) {
        self.rescue(&agent(number)).await;
        let removed = self
            .worktrees
            .remove(&agent(number), Some(&alias("web")))
            .await;
        removed.unwrap();
    }
}

#[tokio::test]
async fn many_fetches_leave_few_packs_and_no_object_is_lost() {
    let site = Site::new();
    let first = site.add(&agent(0)).await;
    for number in 0..20 {
        // What was fetched before is on no branch any more, and an agent still works on it.
        let rewrite =
            format!("echo {number} > n.txt; git add -A; git commit -q --amend -m n{number}");
        run(&site.source(), None, &rewrite);
        site.add(&agent(1)).await;
        site.end(1).await;
    }
    let late = site.add(&agent(2)).await;
    run(&site.source(), None, "git commit -q --amend -m last");
    site.add(&agent(3)).await;
    let (before, packs) = (site.cached(), site.packs());
    assert!(packs > 16, "{packs}");
    let collected = site.worktrees.collect(u64::MAX).await.unwrap();
    assert_eq!((collected.consolidated, collected.evicted), (1, 0));
    assert!(site.packs() < 6, "{}", site.packs());
    assert_eq!(site.cached(), before);
    for (number, worktree) in [(0, &first), (2, &late)] {
        act(
            worktree,
            "git fsck --connectivity-only; git log -p > /dev/null; echo mine > mine",
        );
        let rescue = site.rescue(&agent(number)).await;
        site.results(&format!("rev-list --objects {}", rescue.commit));
    }
}

#[tokio::test]
async fn a_cache_that_nobody_uses_goes_and_rescued_work_stays_whole() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "echo mine > mine");
    let busy = site.worktrees.collect(0).await.unwrap();
    assert_eq!(busy.evicted, 0, "an agent works with it");
    site.end(0).await;
    let collected = site.worktrees.collect(0).await.unwrap();
    assert_eq!(collected.evicted, 1);
    assert!(!site.cache().exists());
    assert_eq!(fs::read_dir(site.folders.trash()).unwrap().count(), 0);
    site.results("fsck --full --strict");
    let patch = site.result(&agent(0), Detail::Patch).await.patch;
    assert!(String::from_utf8(patch).unwrap().contains("+mine"));
    assert!(
        !site
            .result(&agent(0), Detail::Bundle)
            .await
            .bundle
            .is_empty()
    );
    // The next one begins anew, and its work joins the other's.
    let worktree = site.add(&agent(1)).await;
    act(
        &worktree,
        "echo yours > yours; git add -A; git commit -qm yours",
    );
    site.end(1).await;
    site.results("fsck --full --strict");
    for _ in 0..2 {
        site.worktrees.collect(0).await.unwrap();
        for (number, name) in [(0, "+mine"), (1, "+yours")] {
            let patch = site.result(&agent(number), Detail::Patch).await.patch;
            assert!(String::from_utf8(patch).unwrap().contains(name));
        }
    }
}

#[tokio::test]
async fn rescued_work_that_cannot_be_made_whole_keeps_its_cache() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "echo mine > mine");
    site.end(0).await;
    // An object is damaged where both borrow it from: nothing can copy it.
    let packs = site.cache().join("objects/pack");
    for entry in fs::read_dir(packs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pack") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    let collected = site.worktrees.collect(0).await.unwrap();
    assert_eq!(collected.evicted, 0);
    assert!(site.cache().exists());
}

#[tokio::test]
async fn the_cache_that_was_not_used_for_longest_goes_first() {
    let upstream = Site::new();
    let more = format!("[api]\npath = '{}'\n", upstream.source().display());
    let site = Site::with(&more, Most::default());
    let api = Checkout {
        repository: alias("api"),
        base: None,
    };
    for (number, wanted) in [(0, &api), (1, &web(None)), (2, &api)] {
        let agent = agent(number);
        site.worktrees.add(&agent, Some(wanted)).await.unwrap();
        let repository = Some(&wanted.repository);
        site.worktrees
            .rescue(&agent, &wanted.repository)
            .await
            .unwrap();
        site.worktrees.remove(&agent, repository).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await; // a file system's clock is coarse
    }
    let total = site.worktrees.collect(u64::MAX).await.unwrap();
    assert_eq!(total.evicted, 0);
    let collected = site.worktrees.collect(total.bytes - 1).await.unwrap();
    assert_eq!(collected.evicted, 1);
    assert!(!site.cache().exists(), "the older one");
    assert!(site.folders.cache().join("api.git").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn spawns_keep_coming_while_caches_are_collected_and_none_waits() {
    let site = Site::new();
    // Enough that making rescued work whole takes its time.
    run(
        &site.source(),
        None,
        "for i in $(seq 40); do head -c 200000 /dev/urandom > blob$i; git add -A; git commit -qm $i; done",
    );
    let mut spawned = Vec::new();
    let mut longest = Duration::ZERO;
    let mut evicted = 0;
    for round in 0..6 {
        site.add(&agent(0)).await;
        site.end(0).await;
        let worktrees = site.worktrees.clone();
        let collecting = tokio::spawn(async move { worktrees.collect(0).await.unwrap() });
        if round % 2 == 0 {
            while !collecting.is_finished() {
                let one = Instant::now();
                site.add(&agent(1)).await;
                spawned.push(one.elapsed());
                site.end(1).await;
            }
        }
        let collected = collecting.await.unwrap();
        longest = longest.max(collected.longest_hold);
        evicted += collected.evicted;
    }
    eprintln!("{spawned:?}, held at most {longest:?}, {evicted} gone");
    assert!(!spawned.is_empty() && evicted >= 1);
    assert!(longest < WAIT_MAX, "{longest:?}");
    site.results("fsck --full --strict");
}
