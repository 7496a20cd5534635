//! The real Claude Code, in a real spoke and bubblewrap, against a scripted model's server on
//! loopback: what it does is told as it was.
//!
//! Two threads, so that one closes connections while the other waits for the spoke's end.

mod model;
mod site;

use crate::sandbox::bench::{bearing, until};
use model::{Model, Say};
use mosaic_common::agent::{Cause, Fault};
use mosaic_common::proto::agent::v1 as pb;
use serde_json::json;
use site::{Program, Site};
use std::time::Duration;

const NO_TIME: Option<prost_types::Duration> = Some(prost_types::Duration {
    seconds: 0,
    nanos: 0,
});

fn write(file: &str) -> Say {
    Say::Tool(
        "Write",
        json!({"file_path": file, "content": "from the model\n"}),
    )
}

fn shell(command: &str) -> Say {
    Say::Tool("Bash", json!({"command": command, "description": "d"}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_writes_a_file_and_its_work_and_its_usage_are_told() {
    let Some(program) = Program::real() else {
        return;
    };
    let model = Model::start(vec![write("hello.txt"), Say::Text("done")]);
    let site = Site::start(&program, &model, "model = 'claude-sonnet-4-5'\n", "").await;
    let agent = site.run("make a file").await;
    assert_eq!(agent.state(), pb::AgentState::Completed, "{agent:?}");
    assert_eq!(site::cause(&agent), Cause::Exit { code: 0 });
    let usage = agent.usage.expect("usage");
    assert_eq!((usage.turns, usage.output_tokens), (2, 10));
    assert!(usage.cost_micros > 0);
    let told = site.events(&agent.agent_id).await;
    let told = told.iter().find(|event| event.r#type == "agent.usage");
    assert_eq!(told.and_then(|event| event.usage), Some(usage));
    let patch = site.patch(&agent.agent_id).await;
    assert!(patch.contains("+from the model"), "{patch}");
    let asked = model.asked();
    assert!(asked.iter().all(|asked| asked.key == site::KEY));
    assert!(asked[0].body.contains("make a file"));
    assert!(asked[0].body.contains("claude-sonnet-4-5"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_refused_fails_soon_and_says_so() {
    let Some(program) = Program::real() else {
        return;
    };
    let model = Model::start(vec![Say::Fail(401, "authentication_error")]);
    let site = Site::start(&program, &model, "max_retries = 1\n", "").await;
    let begun = tokio::time::Instant::now();
    let agent = site.run("anything").await;
    // By its own ways the program goes on for three minutes.
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(site::fault(&agent), Some(Fault::Auth), "{agent:?}");
    assert_eq!(agent.state(), pb::AgentState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_run_out_are_a_failure() {
    let Some(program) = Program::real() else {
        return;
    };
    let model = Model::start(vec![shell("true")]);
    let site = Site::start(&program, &model, "max_turns = 2\n", "").await;
    let agent = site.run("go on for ever").await;
    assert_eq!(site::fault(&agent), Some(Fault::MaxTurns), "{agent:?}");
    assert!(agent.usage.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_may_deny_a_tool_and_that_is_marked_but_it_does_not_get_the_key() {
    let Some(program) = Program::real() else {
        return;
    };
    let model = Model::start(vec![shell("touch hello.txt"), Say::Text("I could not")]);
    let site = Site::start(&program, &model, "", "").await;
    let agent = site.run_on("hostile", "make a file").await;
    let cause = site::cause(&agent);
    assert_eq!(cause, Cause::CompletedWithDenials { denials: 1 });
    let asked = model.asked();
    assert_eq!(asked.len(), 2, "its server was not asked");
    assert!(asked.iter().all(|asked| asked.key == site::KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_isolates_it_a_repository_is_read_and_runs_nothing() {
    let Some(program) = Program::real_without_isolation() else {
        return;
    };
    let model = Model::start(vec![shell("touch made.txt"), Say::Text("done")]);
    let site = Site::start(&program, &model, "", "").await;
    let agent = site.run_on("hostile", "make a file").await;
    assert_eq!(site::cause(&agent), Cause::Exit { code: 0 }, "{agent:?}");
    let patch = site.patch(&agent.agent_id).await;
    assert!(patch.contains("made.txt") && !patch.contains("hooked.txt"));
    let asked = model.asked();
    assert!(asked[0].body.contains("The canary is blue."), "CLAUDE.md");
    assert!(asked.iter().all(|asked| asked.key == site::KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_tool_leaves_nothing() {
    let Some(program) = Program::real() else {
        return;
    };
    let command = "setsid sleep 1000 & touch started; tail -f /dev/null";
    let model = Model::start(vec![shell(command), Say::Text("never")]);
    let site = Site::start(&program, &model, "", "").await;
    let agent = site.spawn("web", "hang").await;
    let started = site.worktree(&agent).join("started");
    until("the tool runs", || started.exists()).await;
    let id = agent.parse().unwrap();
    assert!(bearing(&id).len() > 3, "program, shell, sleep and tail");
    let kill = pb::KillRequest {
        agent_id: agent.clone(),
        grace: NO_TIME,
        ..Default::default()
    };
    let killed = site.client().await.kill(kill).await.unwrap().into_inner();
    assert_eq!(killed.outcome(), pb::KillOutcome::Killed);
    assert_eq!(killed.agent.unwrap().state(), pb::AgentState::Killed);
    assert_eq!(bearing(&id), [0; 0], "something is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_judged_the_same_after_its_spoke_was_away() {
    let Some(program) = Program::real() else {
        return;
    };
    let wait = "touch started; while [ ! -e go ]; do sleep 0.1; done; echo late > late.txt";
    let model = Model::start(vec![shell(wait), Say::Text("done")]);
    let mut site = Site::start(&program, &model, "start_seconds = 60\n", "").await;
    let agent = site.spawn("web", "wait").await;
    let worktree = site.worktree(&agent);
    until("the tool runs", || worktree.join("started").exists()).await;
    site.crash_and_come_back();
    std::fs::write(worktree.join("go"), "").unwrap();
    let agent = site.ended(&agent).await;
    assert_eq!(site::cause(&agent), Cause::Exit { code: 0 }, "{agent:?}");
    assert_eq!(agent.usage.expect("usage").turns, 2);
    assert!(site.patch(&agent.agent_id).await.contains("+late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_was_cut_off_before_the_end_is_no_success() {
    let model = Model::start(vec![Say::Text("never asked")]);
    let program = Program::script("cat \"$0.lines\"");
    program.put("lines", &site::recorded("done"));
    let whole = Site::start(&program, &model, "", "").await.run("x").await;
    assert_eq!(site::cause(&whole), Cause::Exit { code: 0 });
    let little = "[retention]\noutput_bytes = 1000\n";
    let cut = Site::start(&program, &model, "", little).await;
    let agent = cut.run("x").await;
    assert_eq!(site::fault(&agent), Some(Fault::Protocol), "{agent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_never_begins_is_given_up() {
    let model = Model::start(vec![Say::Text("never asked")]);
    let program = Program::script("exec sleep 1000");
    let site = Site::start(&program, &model, "start_seconds = 1\n", "").await;
    let agent = site.run("x").await;
    assert_eq!(site::fault(&agent), Some(Fault::StartFailed), "{agent:?}");
    assert_eq!(bearing(&agent.agent_id.parse().unwrap()), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_code_0_without_a_word_is_no_success() {
    let model = Model::start(vec![Say::Text("never asked")]);
    let program = Program::script("exit 0");
    let site = Site::start(&program, &model, "", "").await;
    let agent = site.run("x").await;
    assert_eq!(site::fault(&agent), Some(Fault::StartFailed), "{agent:?}");
}
