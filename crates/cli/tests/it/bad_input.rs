//! Malformed command lines and files: exit code 2, a message that helps, nothing sent.

use crate::{
    program::Home,
    server::{AGENT, got, start},
};
use mosaic_common::proto::agent::v1::AgentState;
use std::{fs, os::unix::fs::PermissionsExt};

#[tokio::test]
async fn a_bad_flag_is_told_by_name_and_sends_nothing() {
    let table: [(&[&str], &str); 14] = [
        (&[], "Usage"),
        (&["fly"], "fly"),
        (&["status"], "<ID>"),
        (&["status", "../../etc"], "ag_"),
        (&["status", "ag_\u{1b}[31m"], "ag_"),
        (&["spawn", "--memory", "lots", "x"], "512MiB"),
        (&["spawn", "--cpus", "many", "x"], "--cpus"),
        (&["spawn", "--wall-clock", "10", "x"], "1h30m"),
        (&["spawn", "--label", "nokey", "x"], "key=value"),
        (&["spawn", "--command-id", "abc", "x"], "32 digits"),
        (&["spawn", "--repo", "https://x/y", "x"], "--repo"),
        (&["spawn", "--repo", "web", "--ref", "..", "x"], "--ref"),
        (&["ps", "--state", "asleep"], "queued"),
        (&["result", AGENT, "--patch", "--stat"], "--stat"),
    ];
    let home = Home::with("http://127.0.0.1:1");
    for (arguments, word) in table {
        let run = home.run(arguments).await;
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(word), "{arguments:?}: {run:?}");
        assert!(!run.stderr.contains('\u{1b}'), "{arguments:?}: {run:?}");
    }
}

#[tokio::test]
async fn a_bad_flag_is_an_object_where_json_is_wanted() {
    let run = Home::new()
        .run(&["spawn", "--json", "--memory", "lots", "x"])
        .await;
    assert_eq!(
        (run.code, &run.error()["reason"]),
        (2, &"INVALID_INPUT".into()),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_task_that_is_too_long_or_no_text_is_refused_here() {
    let home = Home::with("http://127.0.0.1:1");
    for input in [vec![b'x'; 33 * 1024], b"\xff".to_vec()] {
        let run = home.run_with_input(&["spawn", "-"], &input).await;
        assert_eq!(run.code, 2, "{run:?}");
    }
    assert_eq!(home.run(&["spawn", "@/nonexistent"]).await.code, 2);
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused() {
    for endpoint in [
        "ftp://x",
        "localhost:7600",
        "http://user:canary@host",
        "unix:relative",
    ] {
        let run = Home::new().run(&["--endpoint", endpoint, "ps"]).await;
        assert_eq!(run.code, 2, "{endpoint}: {run:?}");
    }
    let run = Home::with("https://127.0.0.1:1").run(&["ps"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("--ca"), "{run:?}");
}

#[tokio::test]
async fn a_token_file_that_others_may_read_is_refused() {
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    let path = home.path().join("token");
    fs::write(&path, "canary-secret\n").unwrap();
    let arguments = ["--token-file", path.to_str().unwrap(), "status", AGENT];
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let run = home.run(&arguments).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("chmod 600") && !run.stderr.contains("canary"),
        "{run:?}"
    );
    assert!(script.get.asked().is_empty());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    script.get.answer(got(AgentState::Running));
    let run = home.run(&arguments).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        *script.tokens.lock().unwrap(),
        [Some("Bearer canary-secret".to_owned())]
    );
    assert!(!format!("{run:?}").contains("canary"));
}

#[tokio::test]
async fn a_token_never_travels_in_clear() {
    let home = Home::with("http://192.0.2.1:7600").variable("MOSAIC_TOKEN", "canary-secret");
    let run = home.run(&["ps"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("in clear") && !run.stderr.contains("canary"),
        "{run:?}"
    );
}

#[tokio::test]
async fn the_users_file_says_where_and_as_whom_and_its_token_goes_nowhere_else() {
    let (endpoint, script) = start().await;
    let home = Home::new();
    let folder = home.path().join(".config/mosaic");
    fs::create_dir_all(&folder).unwrap();
    let token = folder.join("token");
    fs::write(&token, "of-the-file").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let file = format!("endpoint = {endpoint:?}\ntoken_file = {token:?}\n");
    fs::write(folder.join("client.toml"), file).unwrap();
    script.get.answer(got(AgentState::Running));
    assert_eq!(home.run(&["status", AGENT]).await.code, 0);

    let (other, others) = start().await;
    others.get.answer(got(AgentState::Running));
    assert_eq!(
        home.run(&["--endpoint", &other, "status", AGENT])
            .await
            .code,
        0
    );
    assert_eq!(
        *script.tokens.lock().unwrap(),
        [Some("Bearer of-the-file".to_owned())]
    );
    assert_eq!(*others.tokens.lock().unwrap(), [None]);

    fs::write(folder.join("client.toml"), "endpont = 'x'").unwrap();
    let run = home.run(&["ps"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("endpont"), "{run:?}");
}

#[tokio::test]
async fn help_names_every_exit_code() {
    let run = Home::new().run(&["--help"]).await;
    assert_eq!(run.code, 0);
    assert!(run.stdout().contains("Exit codes:") && run.stdout().contains("kill-all"));
}
