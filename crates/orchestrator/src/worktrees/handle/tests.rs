//! What holds of handles, also while an agent works against them.

use super::*;
use rustix::fs::{RenameFlags, renameat_with};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, process::Command};

/// How often a name is opened while it is swapped: looking at a name and then changing it by name was
/// led astray within so many in each of several runs.
const TRIES: u32 = 30_000;

#[test]
fn nothing_but_plain_files_inside_is_read() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("secret"), "s").unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("plain"), "p").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("..", root.join("up")).unwrap();
    rustix::fs::mkfifoat(CWD, root.join("fifo"), Mode::RWXU).unwrap();
    let folder = Folder::open(&root).unwrap();
    assert_eq!(folder.read(b"plain", 1).unwrap(), b"p");
    assert!(folder.read(b"plain", 0).is_err(), "too large");
    for name in [
        &b"link"[..],
        b"fifo",
        b"..",
        b".",
        b"",
        b"../secret",
        b"up/secret",
        b"a\0",
    ] {
        assert!(folder.read(name, 9).is_err(), "{name:?}");
    }
    assert!(folder.folder(b"up").is_err() && folder.folder(b"..").is_err());
    assert_eq!(folder.link(b"link").unwrap(), b"../secret");
}

#[test]
fn a_name_that_becomes_a_link_meanwhile_changes_nothing_outside() {
    if rustix::process::geteuid().is_root() {
        return as_another_user(); // root is never refused, so it never opens what was closed
    }
    let outer = tempfile::tempdir().unwrap();
    let (outside, root) = (outer.path().join("outside"), outer.path().join("root"));
    for folder in [&outside, &root, &root.join("folder")] {
        fs::create_dir(folder).unwrap();
    }
    for file in [outside.join("file"), root.join("file")] {
        fs::write(file, "").unwrap();
    }
    symlink("../outside", root.join("folder-twin")).unwrap();
    symlink("../outside/file", root.join("file-twin")).unwrap();
    let traces = || {
        let trace = |found: fs::Metadata| (found.mode(), found.ctime(), found.ctime_nsec());
        ["", "file"].map(|name| trace(fs::metadata(outside.join(name)).unwrap()))
    };
    let (before, over) = (traces(), AtomicBool::new(false));
    let folder = Folder::open(&root).unwrap();
    std::thread::scope(|threads| {
        for (name, twin) in [("folder", "folder-twin"), ("file", "file-twin")] {
            let (here, over, root) = (&folder.0, &over, &root);
            threads.spawn(move || {
                let own = File::open(root.join(name)).unwrap();
                while !over.load(Ordering::Relaxed) {
                    own.set_permissions(fs::Permissions::from_mode(0o000))
                        .unwrap();
                    renameat_with(here, name, here, twin, RenameFlags::EXCHANGE).unwrap();
                }
            });
        }
        for _ in 0..TRIES {
            drop(folder.folder(b"folder"));
            drop(folder.file(b"file"));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(traces(), before);
}

/// Runs that test again, as somebody whom rights apply to.
fn as_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let user = 65_534;
    lchown(folder.path(), Some(user), Some(user)).unwrap();
    let test = concat!(
        "worktrees::handle::tests::",
        "a_name_that_becomes_a_link_meanwhile_changes_nothing_outside"
    );
    let output = Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .arg("--clear-groups")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
