//! What holds of an agent's folder, on a real disk.

use super::*;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;

fn folders() -> (tempfile::TempDir, Folders) {
    let data = tempfile::tempdir().unwrap();
    let folders = Folders::new(data.path());
    folders.create().unwrap();
    (data, folders)
}

fn agent(last: char) -> AgentId {
    format!("ag_{}{last}", "a".repeat(25)).parse().unwrap()
}

#[test]
fn a_claim_is_idempotent_and_two_agents_never_share_an_owner() {
    let (_data, folders) = folders();
    let folders = folders.with_owners(300_000..300_002);
    let first = folders.claim(&agent('a')).unwrap();
    let second = folders.claim(&agent('b')).unwrap();
    assert_eq!(first, folders.claim(&agent('a')).unwrap());
    assert_eq!(folders.agents().unwrap(), [agent('a'), agent('b')]);
    assert!(first.worktree.is_dir() && first.home.is_dir());
    if geteuid().is_root() {
        assert_ne!(first.owner, second.owner);
        assert!(matches!(folders.claim(&agent('c')), Err(Error::NoOwner(2))));
        folders.discard(&agent('a')).unwrap();
        assert_eq!(folders.claim(&agent('c')).unwrap().owner, first.owner);
    }
}

#[test]
fn other_users_pass_through_the_data_folder_and_read_only_what_is_theirs() {
    let (_data, folders) = folders();
    let claimed = folders.claim(&agent('a')).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(folders.data()), 0o711);
    assert_eq!(mode(&folders.agents_root()), 0o711);
    for private in [
        folders.store(),
        folders.results(),
        folders.trash(),
        claimed.path,
    ] {
        assert_eq!(mode(&private), 0o700, "{}", private.display());
    }
}

#[test]
fn discard_deletes_closed_folders_pipes_and_links_but_not_what_they_point_to() {
    let (data, folders) = folders();
    let kept = data.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "precious").unwrap();
    let claimed = folders.claim(&agent('a')).unwrap();
    symlink(&kept, claimed.worktree.join("link")).unwrap();
    symlink("/", claimed.home.join("root")).unwrap();
    let closed = claimed.worktree.join("closed/inner");
    fs::create_dir_all(&closed).unwrap();
    fs::write(closed.join("file"), "x").unwrap();
    let pipe = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        claimed.worktree.join("pipe"),
        rustix::fs::FileType::Fifo,
        pipe,
        0,
    )
    .unwrap();
    for closed in [&closed, closed.parent().unwrap(), &claimed.path] {
        fs::set_permissions(closed, fs::Permissions::from_mode(0o000)).unwrap();
    }
    folders.discard(&agent('a')).unwrap();
    folders.discard(&agent('a')).unwrap();
    assert!(!claimed.path.exists());
    assert_eq!(fs::read_dir(folders.trash()).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "precious");
}

#[test]
fn discard_deletes_a_tree_deeper_than_any_path_or_handle_limit() {
    let (_data, folders) = folders();
    let claimed = folders.claim(&agent('a')).unwrap();
    let mut at =
        cap_std::fs::Dir::open_ambient_dir(&claimed.worktree, cap_std::ambient_authority())
            .unwrap();
    for _ in 0..3_000 {
        at.create_dir("deeper").unwrap();
        at = at.open_dir("deeper").unwrap();
    }
    drop(at);
    folders.discard(&agent('a')).unwrap();
    assert_eq!(fs::read_dir(folders.trash()).unwrap().count(), 0);
}

#[test]
fn discard_ends_what_a_crash_left_in_the_trash() {
    let (_data, folders) = folders();
    let left = folders.trash().join(format!("{}.0", agent('a')));
    fs::create_dir_all(left.join("worktree/x")).unwrap();
    let other = folders.trash().join(format!("{}.0", agent('b')));
    fs::create_dir(&other).unwrap();
    folders.discard(&agent('a')).unwrap();
    assert!(!left.exists() && other.exists());
    folders.retire_trash().unwrap();
    assert!(!other.exists() && folders.trash().exists());
    folders.empty_retired().unwrap();
    let left = fs::read_dir(folders.data()).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(left.into_iter().all(|name| !name.starts_with("trash.")));
    folders.retire_trash().unwrap();
}
