//! `watch`, `logs` and `result`: nothing twice, nothing lost, nothing that a terminal obeys.

use crate::{
    program::Home,
    server::{AGENT, event, got, start},
};
use mosaic_common::proto::agent::v1::{self as pb, AgentState};
use tonic::Status;

fn chunk(data: &[u8], next_cursor: u64) -> Result<pb::LogsResponse, Status> {
    Ok(pb::LogsResponse {
        stream: pb::OutputStream::Stdout.into(),
        data: data.to_vec().into(),
        next_cursor,
        dropped_bytes: 0,
    })
}

fn item(item: pb::result_response::Item) -> Result<pb::ResultResponse, Status> {
    Ok(pb::ResultResponse { item: Some(item) })
}

#[tokio::test]
async fn watch_goes_on_after_the_last_event_when_its_stream_breaks() {
    let (endpoint, script) = start().await;
    let cut = Err(Status::unavailable("draining"));
    script.watch.answer(Ok(vec![
        event(4, "agent.running", AgentState::Running),
        cut,
    ]));
    script
        .watch
        .answer(Ok(vec![event(5, "agent.cleanup", AgentState::Completed)]));
    let run = Home::with(&endpoint)
        .run(&["watch", AGENT, "--after", "3", "--json"])
        .await;
    assert_eq!(run.code, 0, "{run:?}");
    let seen: Vec<_> = run
        .json_lines()
        .iter()
        .map(|line| line["sequence"].clone())
        .collect();
    assert_eq!(seen, [4, 5]);
    let cursors: Vec<_> = script
        .watch
        .asked()
        .iter()
        .map(|asked| asked.after)
        .collect();
    assert_eq!(cursors, [3, 4]);
}

#[tokio::test]
async fn watch_goes_on_when_a_server_ends_the_stream_before_the_agent_has_ended() {
    let (endpoint, script) = start().await;
    script
        .watch
        .answer(Ok(vec![event(1, "agent.running", AgentState::Running)]));
    script.get.answer(got(AgentState::Running));
    script
        .watch
        .answer(Ok(vec![event(2, "agent.completed", AgentState::Completed)]));
    script.get.answer(got(AgentState::Completed));
    let run = Home::with(&endpoint).run(&["watch", AGENT]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stdout().lines().count(), 2);
}

#[tokio::test]
async fn a_gap_is_shown_and_not_asked_for_again() {
    let (endpoint, script) = start().await;
    let gap = pb::watch_response::Item::Gap(pb::Gap { first: 1, last: 41 });
    let cut = Err(Status::unavailable("cut"));
    script
        .watch
        .answer(Ok(vec![Ok(pb::WatchResponse { item: Some(gap) }), cut]));
    script.watch.answer(Ok(vec![]));
    let run = Home::with(&endpoint).run(&["watch", "--no-follow"]).await;
    assert_eq!(
        run.stdout(),
        "[events 1 to 41 are no longer kept]\n",
        "{run:?}"
    );
    assert_eq!(script.watch.asked()[1].after, 41);
}

#[tokio::test]
async fn watch_of_nobody_fails_at_once() {
    let run = Home::with("http://127.0.0.1:1").run(&["watch"]).await;
    assert_eq!(run.code, 5, "{run:?}");
}

#[tokio::test]
async fn logs_go_on_after_the_last_chunk_when_their_stream_breaks() {
    let (endpoint, script) = start().await;
    let cut = Err(Status::unknown("h2 protocol error"));
    script
        .logs
        .answer(Ok(vec![chunk(b"one\n\xe2\x9c", 10), cut]));
    script.logs.answer(Ok(vec![chunk(b"\x93 two\n", 20)]));
    let run = Home::with(&endpoint).run(&["logs", AGENT, "-f"]).await;
    assert_eq!((run.code, run.stdout()), (0, "one\n✓ two\n"), "{run:?}");
    let asked = script.logs.asked();
    assert_eq!((asked[1].cursor, asked[1].follow), (10, true));
}

#[tokio::test]
async fn terminal_sequences_of_an_agent_become_visible_text() {
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    let hostile = b"\x1b]0;owned\x07\x1b[2Jhi\x9b\n";
    script.logs.answer(Ok(vec![chunk(hostile, 1)]));
    let run = home.run(&["logs", AGENT]).await;
    assert_eq!(run.stdout(), "\\x1b]0;owned\\x07\\x1b[2Jhi\\x9b\n");
    script.logs.answer(Ok(vec![chunk(hostile, 1)]));
    let run = home.run(&["logs", AGENT, "--raw"]).await;
    assert_eq!(run.bytes, hostile);
    script.logs.answer(Ok(vec![chunk(hostile, 1)]));
    let run = home.run(&["logs", AGENT, "--json"]).await;
    assert!(!run.stdout().contains('\u{1b}'));
    assert_eq!(
        run.json()["text"],
        "\u{1b}]0;owned\u{7}\u{1b}[2Jhi\u{fffd}\n"
    );
    assert!(run.json()["base64"].is_string());
}

#[tokio::test]
async fn dropped_output_is_told() {
    let (endpoint, script) = start().await;
    let mut late = chunk(b"late\n", 9).unwrap();
    late.dropped_bytes = 77;
    script.logs.answer(Ok(vec![Ok(late)]));
    let run = Home::with(&endpoint).run(&["logs", AGENT]).await;
    assert_eq!(run.stdout(), "late\n");
    assert!(run.stderr.contains("77 bytes are missing"), "{run:?}");
}

#[tokio::test]
async fn a_patch_comes_out_exactly() {
    let (endpoint, script) = start().await;
    let patch = b"--- a\n+++ b\n+\x1b[31m\xff\r\n";
    let (first, second) = patch.split_at(9);
    script.result.answer(Ok(vec![
        item(pb::result_response::Item::Summary(
            pb::ResultSummary::default(),
        )),
        item(pb::result_response::Item::Patch(first.to_vec().into())),
        item(pb::result_response::Item::Patch(second.to_vec().into())),
    ]));
    let run = Home::with(&endpoint)
        .run(&["result", AGENT, "--patch"])
        .await;
    assert_eq!(
        (run.code, run.bytes.as_slice()),
        (0, patch.as_slice()),
        "{run:?}"
    );
    assert_eq!(
        script.result.asked()[0].format,
        pb::ResultFormat::Patch as i32
    );
}

#[tokio::test]
async fn a_patch_that_breaks_off_is_an_error() {
    let (endpoint, script) = start().await;
    let piece = item(pb::result_response::Item::Patch(b"--- a".as_ref().into()));
    script
        .result
        .answer(Ok(vec![piece, Err(Status::unavailable("cut"))]));
    let run = Home::with(&endpoint)
        .run(&["result", AGENT, "--patch"])
        .await;
    assert_eq!(run.code, 5, "{run:?}");
}

fn bundle(end: Option<Status>) -> Vec<Result<pb::ResultResponse, Status>> {
    let summary = pb::ResultSummary {
        rescue_ref: "refs/mosaic/agents/ag_x".into(),
        ..Default::default()
    };
    let mut items = vec![
        item(pb::result_response::Item::Summary(summary)),
        item(pb::result_response::Item::Bundle(
            b"# v2 git ".as_ref().into(),
        )),
        item(pb::result_response::Item::Bundle(
            b"bundle\n".as_ref().into(),
        )),
    ];
    items.extend(end.map(Err));
    items
}

#[tokio::test]
async fn a_bundle_is_written_whole_and_never_over_a_file_unasked() {
    let (endpoint, script) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("work.bundle");
    let path = file.to_str().unwrap();
    let home = Home::with(&endpoint);
    script.result.answer(Ok(bundle(None)));
    let run = home.run(&["result", AGENT, "--bundle", path]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let fetch = format!("git fetch {path} refs/mosaic/agents/ag_x\n");
    assert_eq!(run.stdout(), fetch);
    assert_eq!(std::fs::read(&file).unwrap(), b"# v2 git bundle\n");

    script.result.answer(Ok(bundle(None)));
    let run = home.run(&["result", AGENT, "--bundle", path]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("--force"), "{run:?}");
    script.result.answer(Ok(bundle(None)));
    let arguments = ["result", AGENT, "--bundle", path, "--force", "--json"];
    let run = home.run(&arguments).await;
    let told: serde_json::Value = serde_json::from_str(run.stdout()).unwrap();
    assert_eq!(
        (&told["bundle"], &told["bytes"]),
        (&path.into(), &16.into())
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_bundle_that_breaks_off_leaves_no_file() {
    let (endpoint, script) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("work.bundle");
    let cut = Some(Status::unavailable("cut"));
    script.result.answer(Ok(bundle(cut)));
    let arguments = ["result", AGENT, "--bundle", file.to_str().unwrap()];
    let run = Home::with(&endpoint).run(&arguments).await;
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_result_is_one_object_with_its_commits() {
    let (endpoint, script) = start().await;
    let commit = pb::Commit {
        id: "abc".into(),
        subject: "\u{1b}[31mfix".into(),
        author: "x".into(),
        rescue: true,
    };
    let items = || {
        vec![
            item(pb::result_response::Item::Summary(
                pb::ResultSummary::default(),
            )),
            item(pb::result_response::Item::Commit(commit.clone())),
        ]
    };
    let home = Home::with(&endpoint);
    script.result.answer(Ok(items()));
    let run = home.run(&["result", AGENT, "--json"]).await;
    assert_eq!(run.json()["commits"][0]["rescue"], true);
    script.result.answer(Ok(items()));
    let run = home.run(&["result", AGENT, "--json", "--stat"]).await;
    assert!(run.json().get("commits").is_none());
    script.result.answer(Ok(items()));
    let run = home.run(&["result", AGENT]).await;
    assert!(
        run.stdout().contains("abc [rescued] \\x1b[31mfix (x)"),
        "{run:?}"
    );
}
