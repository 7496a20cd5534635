//! What a refusal looks like: reason, hint, exit code, and a JSON object where one is wanted.

use crate::{
    program::Home,
    server::{AGENT, start},
};
use mosaic_common::{Reason, Refusal};
use std::time::Duration;
use tonic::Status;

#[tokio::test]
async fn the_exit_code_says_what_kind_of_refusal_it_was() {
    let table = [
        (Reason::InvalidRequest, 2),
        (Reason::RoleInsufficient, 3),
        (Reason::GrantProfileDenied, 3),
        (Reason::AgentNotFound, 4),
        (Reason::SiteUnknown, 4),
        (Reason::Overloaded, 5),
        (Reason::ReceiptInvalid, 10),
    ];
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    for (reason, code) in table {
        script
            .get
            .answer(Err(Refusal::new(reason, "because").into()));
        let run = home.run(&["status", AGENT]).await;
        assert_eq!(run.code, code, "{run:?}");
        let line = format!("error: because ({reason})\n");
        assert!(
            run.stderr.starts_with(&line) && run.bytes.is_empty(),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn a_latched_spawn_is_refused_once_with_a_hint() {
    let (endpoint, script) = start().await;
    let latched = Refusal::new(Reason::SpawnsLatched, "kill-all is in force");
    script.spawn.answer(Err(latched.into()));
    let run = Home::with(&endpoint).run(&["spawn", "x"]).await;
    assert_eq!((run.code, script.spawn.asked().len()), (3, 1), "{run:?}");
    assert!(run.stderr.contains("hint: `mosaic release`"), "{run:?}");
}

#[tokio::test]
async fn with_json_an_error_is_an_object_too() {
    let (endpoint, script) = start().await;
    let full = Refusal::new(Reason::QueueFull, "64 agents wait");
    let full = full.retry_after(Duration::from_millis(1500));
    script.spawn.answer(Err(full.into()));
    let run = Home::with(&endpoint).run(&["spawn", "x", "--json"]).await;
    let error = run.error();
    assert_eq!(
        (run.code, &error["reason"]),
        (5, &"QUEUE_FULL".into()),
        "{run:?}"
    );
    assert_eq!(error["message"], "64 agents wait");
    assert_eq!(error["retryAfterMs"], 1500);
}

#[tokio::test]
async fn hostile_text_of_a_server_reaches_no_terminal() {
    let (endpoint, script) = start().await;
    let hostile = Refusal::new(Reason::AgentNotFound, "no\u{1b}[2J\nerror: fake");
    script.get.answer(Err(hostile.into()));
    let run = Home::with(&endpoint).run(&["status", AGENT]).await;
    assert!(
        run.stderr
            .starts_with("error: no\\x1b[2J\\nerror: fake (AGENT_NOT_FOUND)\n"),
        "{run:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_says_where_to_look() {
    for arguments in [["status", AGENT].as_slice(), &["spawn", "x"], &["ps"]] {
        let run = Home::with("http://127.0.0.1:1").run(arguments).await;
        assert_eq!(run.code, 5, "{run:?}");
        assert!(
            run.stderr.contains("(UNREACHABLE)") && run.stderr.contains("--endpoint"),
            "{run:?}"
        );
    }
    let run = Home::with("unix:/nonexistent/spoke.sock")
        .run(&["ps", "--json"])
        .await;
    assert_eq!(
        (run.code, &run.error()["reason"]),
        (5, &"UNREACHABLE".into()),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_ours_is_told_by_its_code() {
    let (endpoint, script) = start().await;
    script
        .get
        .answer(Err(Status::permission_denied("a proxy says no")));
    let run = Home::with(&endpoint).run(&["status", AGENT]).await;
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("(PERMISSION_DENIED)"), "{run:?}");
}
