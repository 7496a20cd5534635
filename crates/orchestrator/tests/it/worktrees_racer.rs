//! An agent that swaps folders with links to something outside as fast as it can, while its work is
//! counted, rescued and removed.
//!
//! `MOSAIC_RACER_SWAPS` says how many swaps; without it, a million.

use crate::worktrees_site::{Site, act, agent, alias};
use orchestrator::worktrees::{Most, Worktree, Worktrees};
use rustix::fs::{RenameFlags, renameat_with};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// All racers together, in some seconds.
const SWAPS: u64 = 1_000_000;

/// What stands in every file outside, and nowhere else.
const CANARY: &str = "canary-that-is-nobodys";

/// The rounds: in each the tree is made anew, raced against and removed.
const ROUNDS: u64 = 4;

/// The least rescues in a round: a rescue waits for the disk, and the racers for nobody.
const TRIES: u64 = 8;

fn swaps() -> u64 {
    let wanted = std::env::var("MOSAIC_RACER_SWAPS").ok();
    wanted.map_or(SWAPS, |wanted| wanted.parse().unwrap())
}

/// Everything that anybody can do to a file leaves a trace in this. Reading is not one.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    content: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A tree outside that an agent points to. It belongs to the agent's user, so that nothing but the
/// way it is reached can protect it.
struct Sentinel(PathBuf);

impl Sentinel {
    fn plant(site: &Site, owner: Option<u32>) -> Self {
        let root = site.root.path().join("sentinel");
        for folder in [
            "",
            "deep",
            "deep/er",
            "objects",
            "objects/pack",
            "objects/aa",
        ] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        // The names that the agent has, too: whoever is led astray finds what it looks for.
        for file in [
            "f",
            "g",
            "deep/f",
            "deep/er/f",
            "objects/aa/f",
            "objects/pack/f",
            "a.txt",
            "HEAD",
        ] {
            fs::write(root.join(file), format!("{CANARY} {file}")).unwrap();
        }
        let closed = fs::Permissions::from_mode(0o600);
        fs::set_permissions(root.join("g"), closed).unwrap();
        let sentinel = Self(root);
        for path in sentinel.traces().into_keys() {
            lchown(path, owner, owner).unwrap();
        }
        sentinel
    }

    fn traces(&self) -> BTreeMap<PathBuf, Trace> {
        let (mut traces, mut waiting) = (BTreeMap::new(), vec![self.0.clone()]);
        while let Some(path) = waiting.pop() {
            let found = fs::symlink_metadata(&path).unwrap();
            let mut content = Vec::new();
            if found.is_dir() {
                let inside = fs::read_dir(&path).unwrap();
                waiting.extend(inside.map(|entry| entry.unwrap().path()));
            } else {
                content = fs::read(&path).unwrap();
            }
            let trace = Trace {
                content,
                mode: found.mode(),
                owner: (found.uid(), found.gid()),
                links: found.nlink(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            };
            traces.insert(path, trace);
        }
        traces
    }
}

/// Two names in a folder that one thread swaps for as long as it may.
///
/// It holds the folder: on a path that other racers change it would be led astray itself.
struct Racer {
    folder: OwnedFd,
    one: String,
    other: String,
    race: Arc<Race>,
}

/// How far it has come, all racers together.
#[derive(Default)]
struct Race {
    swaps: AtomicU64,
    over: AtomicBool,
}

impl Race {
    fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }
}

impl Racer {
    /// Makes the other name a link to something of the sentinel.
    fn new(place: &Path, to: &Path, owner: Option<u32>, race: &Arc<Race>) -> Self {
        let one = place.file_name().unwrap().to_str().unwrap().to_owned();
        let other = format!("{one}-twin");
        let link = place.with_file_name(&other);
        symlink(to, &link).unwrap();
        lchown(&link, owner, owner).unwrap();
        Self {
            folder: fs::File::open(place.parent().unwrap()).unwrap().into(),
            one,
            other,
            race: race.clone(),
        }
    }

    fn run(self) {
        while !self.race.over.load(Ordering::Relaxed) {
            // Fails once the tree is gone.
            let (here, swap) = (&self.folder, RenameFlags::EXCHANGE);
            let _ = renameat_with(here, &self.one, here, &self.other, swap);
            self.race.swaps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Puts a racer at every kind of place that the spoke looks at.
fn racers(worktree: &Worktree, sentinel: &Sentinel, race: &Arc<Race>) -> Vec<Racer> {
    act(
        worktree,
        "mkdir -p deep/er closed/in; for f in f g deep/f deep/er/f closed/f closed/in/f; do echo mine > $f; done
         git hash-object -w f > /dev/null; chmod 000 g closed/f closed",
    );
    let outside = &sentinel.0;
    let folder = &worktree.folder;
    let places = [
        (worktree.path.clone(), outside.clone()),
        (worktree.path.join("deep"), outside.join("deep")),
        (worktree.path.join("closed"), outside.join("deep")),
        (worktree.path.join("f"), outside.join("f")),
        (worktree.path.join("g"), outside.join("g")),
        (folder.join("repo.git"), outside.clone()),
        (folder.join("repo.git/objects"), outside.join("objects")),
        (folder.join("home"), outside.clone()),
    ];
    let racer = |(one, to): (PathBuf, PathBuf)| Racer::new(&one, &to, worktree.owner, race);
    places.map(racer).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_racer_that_swaps_folders_and_links_never_leads_outside() {
    let most = Most {
        bytes: 64 << 20,
        files: 10_000,
    };
    let site = Site::with("ignored = 'include'\n", most);
    let (mut sentinel, mut before) = (None, BTreeMap::new());
    let (mut tried, mut rescued, mut removed) = (0, 0, 0);
    for round in 0..ROUNDS {
        let worktree = site.add(&agent(0)).await;
        let sentinel = sentinel.get_or_insert_with(|| Sentinel::plant(&site, worktree.owner));
        if round == 0 {
            before = sentinel.traces();
        }
        let race = Arc::new(Race::default());
        let racing: Vec<_> = racers(&worktree, sentinel, &race)
            .into_iter()
            .map(|racer| std::thread::spawn(move || racer.run()))
            .collect();
        let most = swaps() / ROUNDS;
        while race.swaps() < most / 2 || tried < TRIES * (round + 1) {
            let used = site.worktrees.used(&agent(0), u64::MAX).await;
            assert!(used.is_ok(), "{used:?}");
            // What is told of a tree in motion may be an error; it must not be a lie.
            let rescue = site.worktrees.rescue(&agent(0), &alias("web")).await;
            (tried, rescued) = (tried + 1, rescued + u64::from(rescue.is_ok()));
        }
        for turn in 0.. {
            if race.swaps() >= most && turn >= TRIES {
                break;
            }
            let gone = site.worktrees.remove(&agent(0), Some(&alias("web"))).await;
            removed += u64::from(gone.is_ok());
        }
        race.over.store(true, Ordering::Relaxed);
        for racer in racing {
            racer.join().unwrap();
        }
        let gone = site.worktrees.remove(&agent(0), Some(&alias("web"))).await;
        gone.unwrap();
        assert!(!worktree.folder.exists());
        assert_eq!(sentinel.traces(), before, "round {round}");
    }
    eprintln!(
        "{} swaps, {rescued} of {tried} rescues and {removed} removals succeeded meanwhile",
        swaps()
    );
    let all = site.results("cat-file --batch-all-objects --batch --buffer");
    assert!(!all.contains(CANARY));
    site.results("fsck --full");
    assert_eq!(fs::read_dir(site.folders.trash()).unwrap().count(), 0);
}

/// Under a spoke that is not root agents have its own user, so it must open what they closed.
#[test]
fn nor_does_it_lead_a_spoke_that_is_not_root() {
    if !rustix::process::geteuid().is_root() {
        return; // the test above was it
    }
    let folder = tempfile::tempdir().unwrap();
    let user = 65_534;
    lchown(folder.path(), Some(user), Some(user)).unwrap();
    let own = std::env::current_exe().unwrap();
    let output = Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .arg("--clear-groups")
        .arg(own)
        .args([
            "--exact",
            "worktrees_racer::a_racer_that_swaps_folders_and_links_never_leads_outside",
        ])
        .env("TMPDIR", folder.path())
        .env("HOME", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}
