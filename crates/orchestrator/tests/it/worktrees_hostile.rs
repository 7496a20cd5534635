//! An agent that treats its repository as a weapon against the spoke.

use crate::worktrees_site::{Site, act, agent, alias};
use orchestrator::worktrees::{Error, Most, Worktrees};
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, mkdirat, openat};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

#[tokio::test]
async fn nothing_an_agent_planted_runs_at_the_rescue() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let mark = site.root.path().join("ran");
    fs::create_dir(&mark).unwrap();
    fs::set_permissions(&mark, fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "cat > ../evil <<'END'
#!/bin/sh
touch {mark}/$$
cat
END
         chmod +x ../evil; evil=$PWD/../evil; mkdir -p ../repo.git/hooks
         for hook in post-checkout pre-commit post-index-change reference-transaction; do cp ../evil ../repo.git/hooks/$hook; done
         printf '* filter=x diff=x\\n' > .gitattributes
         for key in core.fsmonitor filter.x.clean filter.x.smudge filter.x.process diff.external diff.x.textconv core.sshCommand core.pager; do
           git config $key $evil; done
         git config include.path $PWD/../more; git config alias.status \"!$evil\"
         rm -rf {mark}/*; echo x > x",
        mark = mark.display()
    );
    act(&worktree, &script);
    fs::remove_dir_all(&mark).unwrap();
    fs::create_dir(&mark).unwrap();
    fs::set_permissions(&mark, fs::Permissions::from_mode(0o777)).unwrap();
    let rescue = site.rescue(&agent(0)).await;
    assert!(site.paths(&rescue.commit).contains(&"x".to_owned()));
    assert_eq!(fs::read_dir(&mark).unwrap().count(), 0);
}

#[tokio::test]
async fn secrets_of_the_host_do_not_come_along() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let secret = site.root.path().join("secret");
    fs::write(&secret, "canary").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let script = format!(
        "ln -s {secret} s; ln -s {root} d; mkdir sub; ln -s {secret} sub/.gitignore; ln -s ../../.. sub/up",
        secret = secret.display(),
        root = site.root.path().display()
    );
    act(&worktree, &script);
    // What an agent may do where hard links are not protected.
    fs::hard_link(&secret, worktree.path.join("hard")).unwrap();
    let rescue = site.rescue(&agent(0)).await;
    let paths = site.paths(&rescue.commit);
    assert!(paths.contains(&"s".to_owned()) && paths.contains(&"sub/up".to_owned()));
    assert!(!paths.iter().any(|path| path.starts_with("d/")));
    if worktree.owner.is_some() {
        assert!(!paths.contains(&"hard".to_owned()));
        let all = site.results("cat-file --batch-all-objects --batch --buffer");
        assert!(!all.contains("canary"));
    }
}

#[tokio::test]
async fn alternates_and_linked_folders_lead_nowhere() {
    let site = Site::new();
    let secret = site.root.path().join("secret");
    fs::create_dir(&secret).unwrap();
    let script = "git init -q .; echo canary > c; git add -A; git -c user.name=x -c user.email=x commit -qm c; git rev-parse HEAD";
    let stolen = crate::worktrees_site::run(&secret, None, script).stdout;
    let stolen = String::from_utf8(stolen).unwrap();
    let worktree = site.add(&agent(0)).await;
    let objects = secret.join(".git/objects");
    let plant = format!(
        "echo {objects} >> ../repo.git/objects/info/alternates
         for h in ../repo.git/worktrees/*/HEAD; do echo {stolen} > $h; done
         ln -s {objects}/pack ../repo.git/objects/pack-evil
         rmdir ../repo.git/objects/pack; ln -s {objects} ../repo.git/objects/pack
         for part in $(ls -d {objects}/?? | tail -n3); do ln -sf $part ../repo.git/objects/; done
         echo mine > mine",
        objects = objects.display(),
        stolen = stolen.trim(),
    );
    act(&worktree, &plant);
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(
        site.results(&format!("rev-parse {}^1", rescue.commit)),
        rescue.base_commit
    );
    assert!(site.paths(&rescue.commit).contains(&"mine".to_owned()));
    let all = site.results("cat-file --batch-all-objects --batch --buffer");
    assert!(!all.contains("canary"));
}

#[tokio::test]
async fn a_mangled_repository_still_gives_up_its_files() {
    let mangle = [
        "rm -rf ../repo.git",
        "rm -rf ../repo.git; ln -s / ../repo.git",
        "rm -rf ../repo.git; mkfifo ../repo.git",
        "rm -rf ../repo.git/objects; ln -s /etc ../repo.git/objects",
        "rm ../repo.git/worktrees/*/HEAD",
        "ln -sf /etc/passwd ../repo.git/worktrees/*/HEAD",
        "rm ../repo.git/worktrees/*/HEAD; mkfifo ../repo.git/worktrees/$(ls ../repo.git/worktrees)/HEAD",
        "for h in ../repo.git/worktrees/*/HEAD; do echo 'ref: refs/heads/../../../../../etc/passwd' > $h; done",
        "for h in ../repo.git/worktrees/*/HEAD; do echo 'ref: refs/heads/a' > $h; done; echo 'ref: refs/heads/a' > ../repo.git/refs/heads/a",
        "for h in ../repo.git/worktrees/*/HEAD; do head -c 9999999 /dev/zero > $h; done",
        "for h in ../repo.git/worktrees/*/HEAD; do echo 0123456789012345678901234567890123456789 > $h; done",
        "git branch -m 'x\u{202e}y'; git update-ref refs/heads/-evil HEAD; mkdir '../repo.git/refs/heads/$(touch x)'",
        "rm .git; echo 'gitdir: /etc' > .git",
        "rm .git; mkdir .git; echo x > .git/x",
        "rm .git; git init -q; git config core.fsmonitor /bin/false",
        "echo garbage > ../repo.git/packed-refs; rm -r ../repo.git/refs",
        "printf 'PACK\\0\\0\\0\\002\\377\\377\\377\\377' > ../repo.git/objects/pack/pack-x.pack",
        "echo x > ../repo.git/objects/pack/pack-x.pack; ln -s /dev/zero ../repo.git/objects/pack/y.pack",
    ];
    let site = Site::new();
    for (number, script) in mangle.iter().enumerate() {
        let agent = agent(u8::try_from(number).unwrap());
        let worktree = site.add(&agent).await;
        act(&worktree, &format!("echo mine > mine; {script}"));
        let rescue = site.worktrees.rescue(&agent, &alias("web")).await;
        let rescue = rescue.unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(
            site.paths(&rescue.commit).contains(&"mine".to_owned()),
            "{script}"
        );
        site.worktrees
            .remove(&agent, Some(&alias("web")))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_damaged_object_costs_only_what_needs_it() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script = "echo good > good; git add -A; git commit -qm good; git rev-parse HEAD
         git checkout -qb bad; echo bad > bad; git add -A; git commit -qm bad
         id=$(git rev-parse HEAD:bad); file=../repo.git/objects/$(echo $id | cut -c1-2)/$(echo $id | cut -c3-)
         chmod +w $file; head -c 10 /dev/urandom > $file; rm bad; echo later > later";
    let good = act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    site.results(&format!(
        "merge-base --is-ancestor {good} {}",
        rescue.commit
    ));
    assert_eq!(
        site.results(&format!("show {}:later", rescue.commit)),
        "later"
    );
    assert_eq!(rescue.skipped_files, 1);
    site.results(&format!("rev-list --objects {}", rescue.commit));
}

#[tokio::test]
async fn an_object_under_another_ones_name_is_left_behind() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script =
        "one=$(echo one | git hash-object -w --stdin); two=$(echo two | git hash-object -w --stdin)
         file() { echo ../repo.git/objects/$(echo $1 | cut -c1-2)/$(echo $1 | cut -c3-); }
         cp -f $(file $one) $(file $two); echo $two";
    let forged = act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.skipped_files, 1);
    let all = site.results("cat-file --batch-all-objects --batch-check");
    assert!(!all.contains(&forged));
}

#[tokio::test]
async fn what_git_cannot_hold_is_counted() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let script = "mkfifo fifo; mkdir nested empty; git -C nested init -q; echo n > nested/n
         python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' 2>/dev/null || mkfifo sock
         mkdir .GIT; echo x > .GIT/config; chmod 000 a.txt; mkdir locked; echo l > locked/l; chmod 000 locked";
    act(&worktree, script);
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.skipped_files, 4);
    let paths = site.paths(&rescue.commit);
    assert!(paths.contains(&"nested/n".to_owned()) && paths.contains(&"locked/l".to_owned()));
    site.results("fsck --strict --no-dangling");
}

#[tokio::test]
async fn bombs_are_refused_and_nothing_is_removed() {
    let most = Most {
        bytes: 8 << 20,
        files: 2000,
    };
    let bombs = [
        "truncate -s 100G sparse",
        "truncate -s 12M half; truncate -s 12M other; echo x >> other",
        "mkdir many; cd many; seq 3000 | xargs touch",
        "head -c 20M /dev/zero | git hash-object -w --stdin; rm -rf x",
        "head -c 30M /dev/zero > z; git add z; git commit -qm z; git gc -q --prune=now; rm z",
    ];
    let site = Site::with("", most);
    for (number, script) in bombs.iter().enumerate() {
        let agent = agent(u8::try_from(number).unwrap());
        let worktree = site.add(&agent).await;
        act(&worktree, script);
        let error = site.worktrees.rescue(&agent, &alias("web")).await;
        assert!(
            matches!(error, Err(Error::TooLarge { .. })),
            "{script}: {error:?}"
        );
        assert!(worktree.path.join("run.sh").exists());
    }
}

#[tokio::test]
async fn a_tree_4096_folders_deep_is_walked_and_what_git_can_hold_is_kept() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    dig(&worktree.path, worktree.owner, 4096);
    let rescue = site.rescue(&agent(0)).await;
    let paths = site.paths(&rescue.commit);
    let kept = paths.iter().filter(|path| path.ends_with("/f")).count();
    assert_eq!((kept, rescue.skipped_files), (2, 1));
    let removed = site.worktrees.remove(&agent(0), Some(&alias("web"))).await;
    removed.unwrap();
}

/// Makes a folder in a folder in a folder, as deep as no path can say, with a file now and then.
fn dig(root: &Path, owner: Option<u32>, depth: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut here = openat(CWD, root, flags, Mode::empty()).unwrap();
    let owner = owner.map(|owner| (Uid::from_raw(owner), Gid::from_raw(owner)));
    let (uid, gid) = (owner.map(|(uid, _)| uid), owner.map(|(_, gid)| gid));
    for level in 1..=depth {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
        fchown(&here, uid, gid).unwrap();
        if level % 1000 == 0 {
            let create = OFlags::WRONLY | OFlags::CREATE;
            let file = openat(&here, "f", create, Mode::RUSR).unwrap();
            fchown(&file, uid, gid).unwrap();
        }
    }
}
