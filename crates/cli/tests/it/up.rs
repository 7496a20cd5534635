//! `mosaic up`: one command, and one machine is a federation of its own.

use crate::world::{said, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn mosaic(home: &Path) -> Command {
    let mut command = crate::world::mosaic();
    command.env("XDG_CONFIG_HOME", home.join("config"));
    command
}

/// A home that agents' users can pass through.
fn home() -> tempfile::TempDir {
    let home = tempfile::Builder::new()
        .prefix("mosaic-up-")
        .tempdir()
        .unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o711)).unwrap();
    home
}

fn up(home: &Path, sandbox: &str) -> Child {
    up_with(home, &["--sandbox", sandbox], "mosaic spawn")
}

/// Waits until it has said the word.
fn up_with(home: &Path, arguments: &[&str], word: &str) -> Child {
    let repository = home.join("repository");
    let child = mosaic(home)
        .args(["up", "--port", "0"])
        .args(arguments)
        .arg("--data")
        .arg(home.join("data"))
        .arg("--repo")
        .arg(format!("web={}", repository.display()))
        .stdout(fs::File::create(home.join("out")).unwrap())
        .stderr(fs::File::create(home.join("err")).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until("up to say how to go on", || {
        fs::read_to_string(home.join("out")).unwrap().contains(word)
    });
    child
}

fn down(mut child: Child) {
    assert!(
        Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn one_command_makes_a_federation_and_the_client_finds_it() {
    let home = home();
    let home = home.path();
    let repository = home.join("repository");
    let made = Command::new("git")
        .args(["init", "-q", "-b", "main"])
        .arg(&repository)
        .status()
        .unwrap();
    assert!(made.success());
    let identity = ["-c", "user.name=T", "-c", "user.email=t@example.invalid"];
    let commit = ["commit", "-q", "--allow-empty", "-m", "Begin"];
    assert!(
        Command::new("git")
            .args(identity)
            .args(commit)
            .current_dir(&repository)
            .status()
            .unwrap()
            .success()
    );
    let first = up(home, "process");
    let spawned =
        said(mosaic(home).args(["spawn", "--repo", "web", "--wait", "echo hello > hello.txt"]));
    assert_eq!(spawned.code, 0, "{} {}", spawned.out, spawned.err);
    let token = home.join("data/client.token");
    assert_eq!(token.metadata().unwrap().permissions().mode() & 0o077, 0);
    let secret = fs::read_to_string(&token).unwrap();
    let told = fs::read_to_string(home.join("out")).unwrap()
        + &fs::read_to_string(home.join("err")).unwrap();
    assert!(!told.contains(secret.trim()), "the token is never printed");
    down(first);
    let second = up(home, "process");
    assert_eq!(
        fs::read_to_string(&token).unwrap(),
        secret,
        "a second run finds what the first made"
    );
    let listed = said(mosaic(home).args(["--json", "ps", "--all"]));
    assert_eq!(listed.lines().len(), 1, "{}", listed.err);
    down(second);
}

#[test]
fn programs_are_told_in_one_object_that_it_serves() {
    let home = home();
    let home = home.path();
    let child = up_with(home, &["--sandbox", "process", "--json"], "}\n");
    let told = fs::read_to_string(home.join("out")).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&told).unwrap();
    let data = home.join("data");
    assert_eq!(ready["data"], data.to_str().unwrap());
    assert_eq!(
        (&ready["sandbox"], &ready["repositories"][0]),
        (&"process".into(), &"web".into())
    );
    let (endpoint, token) = (ready["endpoint"].as_str(), ready["tokenFile"].as_str());
    let sites = said(mosaic(home).args([
        "sites",
        "--endpoint",
        endpoint.unwrap(),
        "--token-file",
        token.unwrap(),
    ]));
    assert!(sites.out.contains("local"), "{}{}", sites.out, sites.err);
    down(child);
}
