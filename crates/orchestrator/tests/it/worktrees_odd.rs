//! Trees of things that are no files, that have no names one can print, or that will not go.

use crate::worktrees_site::{Site, act, agent, alias, run};
use orchestrator::worktrees::{Worktree, Worktrees};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;
use std::process::Command;
use tokio::time::Instant;

impl Site {
    async fn clear(&self, number: u8) -> Result<(), String> {
        let (agent, web) = (agent(number), alias("web"));
        let removed = self.worktrees.remove(&agent, Some(&web)).await;
        removed.map_err(|error| mosaic_common::in_full(&error))
    }
}

/// Whether the machine lets a test do what only root may; says so if not.
fn may(what: &str, tried: bool) -> bool {
    if !tried {
        eprintln!("SKIPPED: {what} is not possible here");
    }
    tried
}

fn tool(line: &[&str]) -> bool {
    let ran = Command::new(line[0]).args(&line[1..]).output();
    ran.is_ok_and(|output| output.status.success())
}

/// Makes something in the agent's tree that is the agent's.
fn give(worktree: &Worktree, path: &Path) {
    lchown(path, worktree.owner, worktree.owner).unwrap();
}

#[tokio::test]
async fn devices_pipes_and_sockets_are_counted_never_opened_and_removed() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let kinds = [
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("tape", FileType::CharacterDevice, makedev(9, 0)), // opening it would wind it
        ("disk", FileType::BlockDevice, makedev(7, 0)),
        ("pipe", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
    ];
    let mut made = 0;
    for (name, kind, device) in kinds {
        let path = worktree.path.join(name);
        let mode = Mode::from_raw_mode(0o666);
        if may(name, mknodat(CWD, &path, kind, mode, device).is_ok()) {
            give(&worktree, &path);
            made += 1;
        }
    }
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.skipped_files, made);
    assert!(site.worktrees.used(&agent(0), u64::MAX).await.unwrap() < 1 << 20);
    site.clear(0).await.unwrap();
    assert_eq!(fs::read_dir(site.folders.trash()).unwrap().count(), 0);
}

#[tokio::test]
async fn names_that_are_no_text_are_kept_as_they_are() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    let long = [b'x'; 255];
    let names: [&[u8]; 8] = [
        b"new\nline",
        b"\xff\xfe",
        b"\x1b[2J",
        b" ",
        b"-rf",
        b"a\\..\\b",
        b"\xc3\x28",
        &long,
    ];
    for name in names {
        for path in [worktree.path.clone(), worktree.path.join("src")] {
            let path = path.join(OsStr::from_bytes(name));
            fs::write(&path, name).unwrap();
            give(&worktree, &path);
        }
    }
    let rescue = site.rescue(&agent(0)).await;
    let results = site.folders.results().join("web.git");
    let listed = run(
        &results,
        None,
        &format!("git ls-tree -rz --name-only {}", rescue.commit),
    );
    let kept: Vec<_> = listed.stdout.split(|byte| *byte == 0).collect();
    for name in names {
        assert!(kept.contains(&name), "{name:?}");
        assert!(
            kept.contains(&[b"src/", name].concat().as_slice()),
            "{name:?}"
        );
    }
    assert_eq!(rescue.skipped_files, 0);
    site.clear(0).await.unwrap();
}

#[tokio::test]
async fn a_hundred_thousand_names_in_one_folder_are_rescued_and_removed() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "mkdir many; cd many; seq 100000 | xargs touch");
    let used = site.worktrees.used(&agent(0), u64::MAX).await.unwrap();
    assert!(used >= 100_000 * 4096);
    let begun = Instant::now();
    let few = site.worktrees.used(&agent(0), 1 << 20).await.unwrap();
    assert!(
        few > 1 << 20 && begun.elapsed().as_secs() < 5,
        "it stops where it is too much"
    );
    let rescue = site.rescue(&agent(0)).await;
    let listed = site.results(&format!("ls-tree {}:many", rescue.commit));
    assert_eq!(listed.lines().count(), 100_000);
    site.clear(0).await.unwrap();
    assert_eq!(fs::read_dir(site.folders.trash()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_the_system_will_not_delete_is_reported_and_goes_when_it_may() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "echo x > stuck; mkdir only; echo y > only/grows");
    let only = worktree.path.join("only");
    let stuck = worktree.path.join("stuck");
    let [stuck, only] = [&stuck, &only].map(|path| path.to_str().unwrap());
    if !may(
        "chattr",
        tool(&["chattr", "+i", stuck]) && tool(&["chattr", "+a", only]),
    ) {
        return;
    }
    let rescue = site.rescue(&agent(0)).await;
    assert!(
        site.paths(&rescue.commit)
            .contains(&"only/grows".to_owned())
    );
    for _ in 0..3 {
        let told = site.clear(0).await.unwrap_err();
        assert!(told.contains("not permitted"), "{told}");
    }
    let trash = site.folders.trash();
    assert!(tool(&[
        "chattr",
        "-R",
        "-f",
        "-i",
        "-a",
        trash.to_str().unwrap()
    ]));
    site.clear(0).await.unwrap();
    assert_eq!(fs::read_dir(trash).unwrap().count(), 0);
}

/// Something mounted, until it is dropped.
struct Mount(std::path::PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        tool(&["umount", "-l", self.0.to_str().unwrap()]);
    }
}

#[tokio::test]
async fn what_is_mounted_in_a_tree_is_neither_rescued_nor_touched() {
    let site = Site::new();
    let worktree = site.add(&agent(0)).await;
    act(&worktree, "mkdir here; echo mine > mine");
    let here = worktree.path.join("here");
    if !may(
        "a mount",
        tool(&["mount", "-t", "tmpfs", "none", here.to_str().unwrap()]),
    ) {
        return;
    }
    let mounted = fs::File::open(&here).unwrap(); // stays when it is moved
    let _mount = Mount(site.folders.trash().join("gone"));
    fs::write(here.join("precious"), "canary").unwrap();
    for path in [&here, &here.join("precious")] {
        give(&worktree, path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let rescue = site.rescue(&agent(0)).await;
    assert_eq!(rescue.skipped_files, 1);
    assert!(
        !site
            .results("cat-file --batch-all-objects --batch --buffer")
            .contains("canary")
    );
    assert!(site.worktrees.used(&agent(0), u64::MAX).await.unwrap() < 1 << 20);
    let told = site.clear(0).await.unwrap_err();
    assert!(told.contains("mounted"), "{told}");
    let through = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&mounted)
    );
    let precious = Path::new(&through).join("precious");
    assert_eq!(fs::read_to_string(precious).unwrap(), "canary");
    assert_eq!(
        mounted.metadata().unwrap().permissions().mode() & 0o777,
        0o500
    );
    let place = fs::read_link(&through).unwrap();
    drop(mounted);
    assert!(tool(&["umount", place.to_str().unwrap()]), "{place:?}");
    site.clear(0).await.unwrap();
    assert_eq!(fs::read_dir(site.folders.trash()).unwrap().count(), 0);
}
