//! Making an agent's working tree.

use crate::worktrees_site::{Site, act, agent, alias, attempt, run, web};
use orchestrator::worktrees::{Error, Worktrees};
use std::{fs, sync::Arc};

#[tokio::test]
async fn an_agent_can_status_commit_branch_stash_and_log() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    assert_eq!(act(&worktree, "git status --porcelain"), "");
    assert_eq!(
        act(&worktree, "git branch --show-current"),
        format!("agent/{}", agent(0))
    );
    let said = act(
        &worktree,
        "echo x >> a.txt; git commit -qam mine; git branch other
         echo y >> a.txt; git stash -q; git stash pop -q; git checkout -q -- .
         git log --format=%s | head -2; git worktree list | wc -l",
    );
    assert_eq!(said, "mine\nsecond\n2");
    let base = worktree.base_commit.unwrap();
    assert_eq!(
        run(&site.source(), None, "git rev-parse main").stdout,
        format!("{base}\n").into_bytes()
    );
}

#[tokio::test]
async fn the_first_status_reads_no_file_again() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let index = "git ls-files --debug a.txt | grep -c \"uid: $(id -u)\"";
    assert_eq!(act(&worktree, index), "1");
}

#[tokio::test]
async fn a_base_may_be_a_branch_a_tag_or_a_commit() {
    let site = Site::new();
    let head = |name: &str| {
        let said = run(&site.source(), None, &format!("git rev-parse {name}")).stdout;
        String::from_utf8(said).unwrap().trim().to_owned()
    };
    for (number, base) in ["side", "v1", &head("main~1")].into_iter().enumerate() {
        let agent = agent(u8::try_from(number).unwrap());
        let worktree = site.worktrees.add(&agent, Some(&web(Some(base)))).await;
        let worktree = worktree.unwrap();
        assert_eq!(worktree.base_commit.as_deref(), Some(head(base).as_str()));
        assert_eq!(act(&worktree, "git rev-parse HEAD"), head(base));
    }
}

#[tokio::test]
async fn new_work_upstream_is_seen_by_the_next_agent() {
    let site = Site::new();
    site.add(&agent(0)).await;
    run(
        &site.source(),
        None,
        "echo new > new.txt; git add -A; git commit -qm new; git branch -D side -q",
    );
    let worktree = site.add(&agent(1)).await;
    assert!(worktree.path.join("new.txt").exists());
    let gone = site
        .worktrees
        .add(&agent(2), Some(&web(Some("side"))))
        .await;
    assert!(matches!(gone, Err(Error::UnknownBase { .. })));
}

#[tokio::test]
async fn what_does_not_exist_is_named_in_the_error() {
    let site = Site::new();
    for base in ["nowhere", &"0".repeat(40), "refs/heads/main", "HEAD"] {
        let wanted = web(Some(base));
        let error = site
            .worktrees
            .add(&agent(0), Some(&wanted))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("web has no branch, tag or commit {base}")
        );
    }
    let mut wanted = web(None);
    wanted.repository = alias("other");
    let error = site
        .worktrees
        .add(&agent(0), Some(&wanted))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::UnknownRepository(_)));
    assert!(site.worktrees.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_fetch_is_an_error_unless_the_commit_is_already_there() {
    let site = Site::new();
    let base = site.add(&agent(0)).await.base_commit.unwrap();
    fs::rename(site.source(), site.root.path().join("away")).unwrap();
    let error = site
        .worktrees
        .add(&agent(1), Some(&web(None)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Fetch { .. }), "{error}");
    site.worktrees
        .add(&agent(1), Some(&web(Some(&base))))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_fetch_that_was_killed_does_not_bar_the_next() {
    let site = Site::new();
    site.add(&agent(0)).await;
    run(
        &site.source(),
        None,
        "echo new > new.txt; git add -A; git commit -qm new",
    );
    let lock = site.folders.cache().join("web.git/refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    assert!(site.add(&agent(1)).await.path.join("new.txt").exists());
    assert!(!lock.exists());
}

#[tokio::test]
async fn eight_agents_can_be_added_at_once() {
    let site = Arc::new(Site::new());
    let adding = (0..8).map(|number| {
        let site = site.clone();
        tokio::spawn(async move { site.add(&agent(number)).await })
    });
    let mut owners = Vec::new();
    for added in adding.collect::<Vec<_>>() {
        let worktree = added.await.unwrap();
        assert_eq!(act(&worktree, "git status --porcelain"), "");
        owners.extend(worktree.owner);
    }
    let all = owners.len();
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners.len(), all, "each has a user of its own");
    assert_eq!(site.worktrees.list().await.unwrap().len(), 8);
}

#[tokio::test]
async fn adding_again_changes_nothing() {
    let site = Site::new();
    let first = site.add(&agent(0)).await;
    act(&first, "echo mine > mine.txt");
    run(
        &site.source(),
        None,
        "echo new > new.txt; git add -A; git commit -qm new",
    );
    assert_eq!(site.add(&agent(0)).await, first);
    assert!(first.path.join("mine.txt").exists());
}

#[tokio::test]
async fn rubble_of_an_add_that_was_cut_short_is_built_anew() {
    let site = Site::new();
    let folder = site.folders.claim(&agent(0)).unwrap();
    fs::create_dir_all(folder.path.join("repo.git/objects")).unwrap();
    fs::write(folder.worktree.join("half"), "x").unwrap();
    let worktree = site.add(&agent(0)).await;
    assert_eq!(act(&worktree, "git status --porcelain"), "");
    assert!(!worktree.path.join("half").exists());
}

#[tokio::test]
async fn without_a_repository_there_is_an_empty_folder_to_work_in() {
    let site = Site::new();
    let worktree = site.worktrees.add(&agent(0), None).await.unwrap();
    assert_eq!(site.worktrees.add(&agent(0), None).await.unwrap(), worktree);
    assert_eq!(act(&worktree, "ls -A; touch x; ls"), "x");
    assert_eq!(
        (&worktree.base_commit, worktree.read_only.len()),
        (&None, 0)
    );
    site.worktrees.remove(&agent(0), None).await.unwrap();
    assert!(site.worktrees.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_writes_nothing_shared_and_reads_nobody_elses_work() {
    let site = Site::new();
    let (one, other) = (site.add(&agent(0)).await, site.add(&agent(1)).await);
    act(&other, "echo secret > s.txt; git add -A; git commit -qm s");
    site.rescue(&agent(1)).await;
    if one.owner.is_none() {
        return; // Users of their own come with a spoke that is root; sandboxes keep the rest apart.
    }
    let cache = site.folders.cache().join("web.git");
    let shared = cache.display();
    let (results, sibling) = (site.folders.results(), &other.folder);
    let refused = [
        format!("echo x > {shared}/objects/x"),
        format!("echo x > {shared}/config"),
        format!("mkdir -p {shared}/hooks && touch {shared}/hooks/post-update"),
        format!("touch {shared}/refs/heads/evil"),
        format!("rm -f {shared}/objects/pack/*.pack"),
        format!("chmod 777 {shared}"),
        format!("git -c safe.directory=* --git-dir={shared} update-ref refs/heads/evil HEAD"),
        format!("git -c safe.directory=* --git-dir={shared} gc --prune=now"),
        format!("ls {}", results.display()),
        format!("cat {}/web.git/HEAD", results.display()),
        format!("ls {}", sibling.display()),
        format!("cat {}/worktree/s.txt", sibling.display()),
        format!("ls {}", site.folders.agents_root().display()),
        format!("touch {}/x", site.folders.data().display()),
    ];
    for script in refused {
        let ended = attempt(&one, &script);
        assert!(!ended.status.success(), "{script}");
    }
    assert!(
        attempt(&one, &format!("ls {shared}/objects/pack"))
            .status
            .success()
    );
}
