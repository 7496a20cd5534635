//! `spawn`: once, whatever happens, and with an outcome that scripts can use.

use crate::{
    program::Home,
    server::{AGENT, agent, event, got, start},
};
use mosaic_common::{
    Reason, Refusal,
    proto::agent::v1::{self as pb, AgentState},
};
use tonic::Status;

fn accepted() -> Result<pb::SpawnResponse, Status> {
    let agent = Some(agent(AgentState::Queued));
    Ok(pb::SpawnResponse { agent })
}

#[tokio::test]
async fn a_retry_sends_the_same_command_id_and_so_never_spawns_twice() {
    let (endpoint, script) = start().await;
    script.spawn.answer(Err(Status::unavailable("gone")));
    let busy = Refusal::new(Reason::CommandInProgress, "in progress");
    script.spawn.answer(Err(busy.into()));
    script.spawn.answer(accepted());
    let run = Home::with(&endpoint)
        .run(&["spawn", "--repo", "web", "fix it"])
        .await;
    assert_eq!(
        (run.code, run.stdout()),
        (0, format!("{AGENT}\n").as_str()),
        "{run:?}"
    );
    let asked = script.spawn.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].command_id.len(), 32);
    assert!(asked.iter().all(|request| *request == asked[0]));
}

#[tokio::test]
async fn two_spawns_have_two_command_ids() {
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    for _ in 0..2 {
        script.spawn.answer(accepted());
        assert_eq!(home.run(&["spawn", "same"]).await.code, 0);
    }
    let asked = script.spawn.asked();
    assert_ne!(asked[0].command_id, asked[1].command_id);
}

#[tokio::test]
async fn every_flag_reaches_the_server() {
    let (endpoint, script) = start().await;
    script.spawn.answer(accepted());
    let command = "000102030405060708090a0b0c0d0e0f";
    let line = [
        "spawn",
        "--site",
        "lab",
        "--id",
        AGENT,
        "--task-id",
        "T-1",
        "--repo",
        "web",
        "--ref",
        "main",
        "--profile",
        "command",
        "--sandbox",
        "bubblewrap",
        "--memory",
        "2GiB",
        "--cpus",
        "1.5",
        "--pids",
        "64",
        "--wall-clock",
        "1h",
        "--idle",
        "10m",
        "--disk",
        "1GiB",
        "--label",
        "a=b",
        "--label",
        "c=d=e",
        "--command-id",
        command,
        "-",
    ];
    let run = Home::with(&endpoint)
        .run_with_input(&line, b"from input\n")
        .await;
    assert_eq!(run.code, 0, "{run:?}");
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let expected = pb::SpawnRequest {
        site: "lab".into(),
        command_id: command.into(),
        spec: Some(pb::AgentSpec {
            agent_id: AGENT.into(),
            task_id: "T-1".into(),
            repository: "web".into(),
            base_ref: "main".into(),
            profile: "command".into(),
            sandbox: "bubblewrap".into(),
            task: "from input\n".into(),
            limits: Some(pb::Limits {
                memory_bytes: 2 << 30,
                cpu_millis: 1500,
                pids: 64,
                wall_clock: seconds(3600),
                idle: seconds(600),
                disk_bytes: 1 << 30,
            }),
            labels: [("a".into(), "b".into()), ("c".into(), "d=e".into())].into(),
        }),
    };
    assert_eq!(script.spawn.asked(), [expected]);
}

#[tokio::test]
async fn waiting_exits_by_the_outcome() {
    let table = [
        (AgentState::Completed, "agent.completed", 0),
        (AgentState::Failed, "agent.failed", 1),
        (AgentState::Killed, "agent.killed", 6),
    ];
    for (state, r#type, code) in table {
        let (endpoint, script) = start().await;
        script.spawn.answer(accepted());
        script.watch.answer(Ok(vec![
            event(1, r#type, state),
            event(2, "agent.cleanup", state),
        ]));
        script.get.answer(got(state));
        let run = Home::with(&endpoint).run(&["spawn", "--wait", "x"]).await;
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stdout().contains("agent.cleanup"));
    }
}

#[tokio::test]
async fn waiting_survives_a_broken_stream_and_goes_on_after_the_last_event() {
    let (endpoint, script) = start().await;
    script.spawn.answer(accepted());
    let cut = Err(Status::unknown("h2 protocol error"));
    script.watch.answer(Ok(vec![
        event(7, "agent.running", AgentState::Running),
        cut,
    ]));
    script
        .watch
        .answer(Err(Status::unavailable("tcp connect error")));
    script
        .watch
        .answer(Ok(vec![event(9, "agent.cleanup", AgentState::Completed)]));
    script.get.answer(got(AgentState::Completed));
    let run = Home::with(&endpoint)
        .run(&["--json", "spawn", "--wait", "x"])
        .await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.json()["state"], "completed");
    let cursors: Vec<_> = script
        .watch
        .asked()
        .iter()
        .map(|asked| asked.after)
        .collect();
    assert_eq!(cursors, [0, 7, 7]);
}

#[tokio::test]
async fn waiting_asks_for_the_outcome_where_events_are_missing() {
    let (endpoint, script) = start().await;
    script.spawn.answer(accepted());
    let gap = pb::watch_response::Item::Gap(pb::Gap { first: 1, last: 9 });
    script
        .watch
        .answer(Ok(vec![Ok(pb::WatchResponse { item: Some(gap) })]));
    script.get.answer(got(AgentState::Failed));
    let run = Home::with(&endpoint).run(&["spawn", "--wait", "x"]).await;
    assert_eq!(run.code, 1, "{run:?}");
}
