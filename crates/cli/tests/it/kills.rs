//! `kill`, `kill-all`, `release`: only what was proved is said.

use crate::{
    program::Home,
    server::{AGENT, agent, start},
};
use mosaic_common::proto::agent::v1::{self as pb, AgentState, KillOutcome};
use tonic::Status;

fn killed(outcome: KillOutcome) -> Result<pb::KillResponse, Status> {
    Ok(pb::KillResponse {
        outcome: outcome.into(),
        agent: Some(agent(AgentState::Killed)),
        detail: String::new(),
    })
}

#[tokio::test]
async fn the_exit_code_of_a_kill_says_whether_it_is_proved() {
    let table = [
        (KillOutcome::Killed, 0, "killed"),
        (KillOutcome::AlreadyEnded, 0, "already_ended"),
        (KillOutcome::NeverStarted, 0, "never_started"),
        (KillOutcome::NotProved, 7, "not_proved"),
        (KillOutcome::Unspecified, 7, "unknown"),
    ];
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    for (outcome, code, word) in table {
        script.kill.answer(killed(outcome));
        let run = home.run(&["kill", AGENT, "--json"]).await;
        assert_eq!(
            (run.code, run.json()["outcome"].as_str()),
            (code, Some(word)),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn a_kill_is_tried_again_with_the_same_command_id() {
    let (endpoint, script) = start().await;
    script.kill.answer(Err(Status::unavailable("gone")));
    script.kill.answer(killed(KillOutcome::Killed));
    let line = ["kill", AGENT, "--grace", "0s", "--reason", "enough"];
    let run = Home::with(&endpoint).run(&line).await;
    assert_eq!(run.code, 0, "{run:?}");
    let asked = script.kill.asked();
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[0].grace, Some(prost_types::Duration::default()));
    assert_eq!(asked[0].reason, "enough");
}

#[tokio::test]
async fn kill_all_is_proved_only_if_every_agent_and_every_site_is() {
    let result = |outcome: KillOutcome| pb::KillAllResult {
        site: "lab".into(),
        agent_id: AGENT.into(),
        outcome: outcome.into(),
        detail: String::new(),
    };
    let silent = pb::Unreachable {
        site: "far".into(),
        detail: "no route".into(),
    };
    let table = [
        (vec![result(KillOutcome::Killed)], vec![], 0),
        (vec![], vec![], 0),
        (
            vec![result(KillOutcome::Killed), result(KillOutcome::NotProved)],
            vec![],
            7,
        ),
        (vec![result(KillOutcome::Killed)], vec![silent], 7),
    ];
    let (endpoint, script) = start().await;
    let home = Home::with(&endpoint);
    for (results, unreachable, code) in table {
        script.kill_all.answer(Ok(pb::KillAllResponse {
            results,
            unreachable,
            latched_in_memory: vec![],
        }));
        let run = home.run(&["kill-all"]).await;
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stderr.contains("mosaic release"));
    }
}

#[tokio::test]
async fn release_names_what_it_released_and_who_was_silent() {
    let (endpoint, script) = start().await;
    script.release.answer(Ok(pb::ReleaseResponse {
        released: vec!["lab".into()],
        unreachable: vec![pb::Unreachable::default()],
    }));
    let run = Home::with(&endpoint).run(&["release", "--json"]).await;
    assert_eq!(
        (run.code, run.json()["released"][0].as_str()),
        (5, Some("lab")),
        "{run:?}"
    );
    assert_eq!(run.error()["reason"], "SITE_UNREACHABLE");
}
