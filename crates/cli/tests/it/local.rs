//! `token` and `keygen`: they work on folders, without any server.

use crate::program::Home;
use crate::world::said;
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

#[tokio::test]
async fn a_token_is_made_listed_and_revoked() {
    let home = Home::new();
    let data = home.path().to_str().unwrap();
    let file = home.path().join("ann.token");
    let out = file.to_str().unwrap();
    let create = [
        "token", "create", "--data", data, "--name", "ann", "--role", "admin", "--out", out,
    ];
    let run = home.run(&create).await;
    assert_eq!(run.code, 0, "{run:?}");
    let secret = fs::read_to_string(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!format!("{run:?}").contains(secret.trim()));

    let run = home.run(&["token", "list", "--data", data, "--json"]).await;
    assert_eq!(
        (run.json()["name"].as_str(), run.json()["role"].as_str()),
        (Some("ann"), Some("admin"))
    );
    assert!(!run.stdout().contains(secret.trim()));

    let revoke = ["token", "revoke", "--data", data, "--name", "ann"];
    let revoked = home.run(&[&revoke[..], &["--json"]].concat()).await;
    assert_eq!(
        (revoked.code, &revoked.json()["revoked"]),
        (0, &"ann".into())
    );
    assert_eq!(home.run(&revoke).await.code, 4);
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_and_leaves_no_file() {
    let home = Home::new();
    let data = home.path().to_str().unwrap();
    let create = [
        "token", "create", "--data", data, "--name", "ann", "--role", "viewer",
    ];
    let run = home.run(&create).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout().len() > 32);
    let file = home.path().join("second");
    let again = [create.as_slice(), &["--out", file.to_str().unwrap()]].concat();
    assert_eq!(home.run(&again).await.code, 3);
    assert!(!file.exists());
}

#[tokio::test]
async fn a_mistyped_data_folder_does_not_become_a_new_hub() {
    let home = Home::new();
    let absent = home.path().join("absent");
    let run = home
        .run(&["token", "list", "--data", absent.to_str().unwrap()])
        .await;
    assert_eq!((run.code, absent.exists()), (2, false), "{run:?}");
}

#[tokio::test]
async fn an_identity_is_made_once_and_its_public_half_is_toml() {
    let home = Home::new();
    let folder = home.path().join("identity");
    let line = ["keygen", "--id", "lab", "--out", folder.to_str().unwrap()];
    let run = home.run(&line).await;
    assert_eq!(run.code, 0, "{run:?}");
    let public: toml::Table = run.stdout().parse().unwrap();
    assert!(public["signing_key"].is_str() && public["tls_key"].is_str());
    for name in ["signing.key", "tls.key"] {
        let secret = fs::read_to_string(folder.join(name)).unwrap();
        assert!(!run.stdout().contains(secret.trim()), "{name}");
    }
    let run = home.run(&line).await;
    assert_eq!(run.code, 3, "{run:?}");
}

#[tokio::test]
async fn a_service_takes_its_own_flags() {
    let run = Home::new().run(&["hub", "--help"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout().contains("--check-config"), "{run:?}");
}

#[test]
fn shells_take_the_completions_and_find_every_command() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script =
            said(Command::new(env!("CARGO_BIN_EXE_mosaic")).args(["completions", shell])).out;
        for command in ["spawn", "kill-all", "result", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        fs::write(&file, &script).unwrap();
        // Only bash is everywhere; the others say so where they are.
        match Command::new(shell).arg(check).arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {read:?}"),
            Err(_) if shell != "bash" => {}
            Err(error) => panic!("{error}"),
        }
    }
    let asked = "source <(\"$0\" completions bash); COMP_WORDS=(mosaic kil); COMP_CWORD=1; \
                 _mosaic mosaic kil mosaic; echo ${COMPREPLY[@]}";
    let program = env!("CARGO_BIN_EXE_mosaic");
    let reply = said(Command::new("bash").args(["-c", asked, program]));
    assert_eq!(reply.out.trim(), "kill kill-all", "{}", reply.err);
}
