//! The spoke's program: its configuration is checked before anything starts, and every end has
//! its exit code.

use mosaic_federation::identity::Identity;
use mosaic_testkit::valkey::{AppendOnly, Server};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn orchestrator(config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command.arg("--config").arg(config).args(more).env_clear();
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with an identity, no connections and a configuration of these lines.
fn place(lines: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Identity::generate(&data.join("identity"), "spoke-1".parse().unwrap()).unwrap();
    fs::write(data.join("connections.toml"), "").unwrap();
    let config = folder.path().join("spoke.toml");
    let head = format!(
        "name = 'here'\ndata = '{}'\nsandboxes = ['process']\n",
        data.display()
    );
    fs::write(&config, head + lines).unwrap();
    (folder, config)
}

#[test]
fn a_good_configuration_is_told_and_exits_0() {
    let (_folder, config) = place("[profiles.sh]\nkind = 'command'\nargv = ['/bin/sh']\n");
    let checked = orchestrator(&config, &["--check-config"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let told = text(&checked.stdout);
    for part in ["site here", "spoke-1", "sandbox process: works"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_place_and_exits_2() {
    let secret = "[profiles.sh]\nkind = 'command'\nargv = ['sh']\nsecrets = { KEY = { file = '/nowhere' } }\n";
    let table = [
        ("port = 1\n", "port"),
        (
            "default_profile = 'ghost'\n",
            "there is no [profiles.ghost]",
        ),
        ("[capacity]\nrunning = 0\n", "capacity.running"),
        ("listen = 'everywhere'\n", "line 4"),
        ("[profiles.sh]\nkind = 'robot'\nargv = ['sh']\n", "robot"),
        (
            "[profiles.sh]\nkind = 'command'\nargv = ['sh']\nmodel = 'x'\n",
            "model is only for the kind claude-code",
        ),
        (
            "[profiles.sh]\nkind = 'command'\nargv = []\n",
            "profiles.sh: argv",
        ),
        (
            "[profiles.sh]\nkind = 'command'\nargv = ['sh']\nenv = { LD_PRELOAD = 'x' }\n",
            "LD_PRELOAD",
        ),
        (
            "[repositories.web]\nurl = 'ext::sh -c id'\n",
            "https:// or ssh://",
        ),
        (
            "[repositories.web]\nurl = 'https://user:secret@host/x'\n",
            "credentials_file",
        ),
        ("[repositories.'a/b']\npath = '/x'\n", "a name"),
        (secret, "KEY"),
        ("[valkey]\n", "url"),
        ("[valkey]\nurl = 'http://cache'\n", "redis://"),
        (
            "[valkey]\nurl = 'redis://:hunter2@cache'\n",
            "password_file",
        ),
        (
            "[valkey]\nurl = 'redis://cache'\nusername = 'mosaic'\n",
            "valkey: a username needs",
        ),
        (
            "[valkey]\nurl = 'redis://cache'\npassword_file = '/nowhere'\n",
            "valkey.password_file",
        ),
        ("[valkey]\nurl = 'redis://cache'\nprefix = 'x'\n", "prefix"),
        ("[log]\nfilter = 'a=b=c'\n", "log.filter"),
        (
            "[times]\nstop_grace_seconds = 'x'\n",
            "line 5: times.stop_grace_seconds",
        ),
        ("[capacity]\n\nrunning = 0\n", "line 6: capacity.running"),
    ];
    for (lines, place_of_fault) in table {
        let (_folder, config) = place(lines);
        let checked = orchestrator(&config, &["--check-config"]);
        let told = text(&checked.stderr);
        assert_eq!(checked.status.code(), Some(2), "{lines}: {told}");
        assert!(told.contains(place_of_fault), "{lines}: {told}");
        // What the file names can be wrong, too: that has a field, and no line.
        let is_named = ["secret for", "password_file:", "log.filter"];
        let place = match is_named.iter().any(|part| told.contains(part)) {
            true => format!("{}: ", config.display()),
            false => format!("{}: line ", config.display()),
        };
        assert!(told.contains(&place), "{lines}: {told}");
        assert_eq!(told.trim_end().lines().count(), 1, "{told}");
        assert!(
            !told.contains("user:secret") || lines.contains("user:secret"),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_wrong_connection_is_told_with_its_file_line_and_field() {
    let (folder, config) = place("");
    let connections = folder.path().join("data/connections.toml");
    fs::write(&connections, "[[connection]]\nid = 'hub'\nepoch = 'one'\n").unwrap();
    let checked = orchestrator(&config, &["--check-config"]);
    let told = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(2), "{told}");
    let place = format!("{}: line 3: connection.epoch: ", connections.display());
    assert!(told.contains(&place), "{told}");
}

#[test]
fn a_valkey_that_is_away_is_a_warning_and_its_address_can_be_given_above_the_file() {
    let (_folder, config) = place("");
    let url = "redis://127.0.0.1:1/0"; // nobody listens on a privileged port that is not assigned
    let checked = orchestrator(&config, &["--check-config", "--valkey", url]);
    let told = text(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    assert!(
        told.contains(&format!("valkey {url}: warning: cannot connect")),
        "{told}"
    );
    if let Some(server) = Server::start(AppendOnly::No) {
        let there = orchestrator(&config, &["--check-config", "--valkey", &server.url()]);
        let told = text(&there.stdout);
        assert!(
            told.contains(&format!("valkey {}: works", server.url())),
            "{told}"
        );
    }
    let wrong = orchestrator(
        &config,
        &["--check-config", "--valkey", "redis://:hunter2@x"],
    );
    assert_eq!(wrong.status.code(), Some(2));
    let told = text(&wrong.stderr);
    assert!(told.contains("valkey.url"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_missing_is_named_before_anything_starts() {
    let (folder, config) = place("");
    fs::remove_dir_all(folder.path().join("data/identity")).unwrap();
    let started = orchestrator(&config, &[]);
    assert_eq!(started.status.code(), Some(1));
    assert!(
        text(&started.stderr).contains("mosaic keygen"),
        "{}",
        text(&started.stderr)
    );
    assert!(!folder.path().join("data/spoke.sock").exists());
    let nowhere = orchestrator(&folder.path().join("nowhere.toml"), &[]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("nowhere.toml"));
    let flag = orchestrator(&config, &["--no-such-flag"]);
    assert_eq!(flag.status.code(), Some(2));
}

#[test]
fn an_identity_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, config) = place("");
    let key = folder.path().join("data/identity/signing.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let started = orchestrator(&config, &["--check-config"]);
    assert_eq!(started.status.code(), Some(2));
    assert!(
        text(&started.stderr).contains("chmod 600"),
        "{}",
        text(&started.stderr)
    );
}
