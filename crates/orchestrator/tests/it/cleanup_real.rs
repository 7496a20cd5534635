//! The one way to end an agent, on a real engine, real git and a real Valkey: every scenario on
//! each way it may begin. What is left is looked for from outside: by the engine's own client, in
//! the file system, with git, and in Valkey.

mod stage;

use crate::site::until;
use mosaic_common::proto::agent::v1 as pb;
use serde_json::{Value, json};
use stage::{Stage, WAYS, Way, tables};
use std::fs;

fn steps(told: &Value) -> Value {
    told["cleanup"].clone()
}

fn done(docker: bool, worktree: bool) -> Value {
    json!({ "docker": docker, "worktree": worktree, "state": true })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_resources_are_cleaned_the_event_is_published_and_the_live_state_is_cleared() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    for way in WAYS {
        let agent = stage.running(way, "web").await;
        assert_eq!(stage.containers(&agent), 1);
        until("its live state is shown", || {
            stage.live_key(&agent).contains(r#""state":"running""#)
        })
        .await;
        let mut subscriber = stage.server.client();
        subscriber.call(&["SUBSCRIBE", "mosaic:events"]);
        stage.end(way, &agent).await;
        let told = stage.told(&agent, 1).await;
        assert_eq!(told.len(), 1, "{way:?}: {told:?}");
        let event = &told[0];
        assert_eq!(event["taskId"], "nightly");
        assert_eq!(steps(event), done(true, true), "{way:?}: {event}");
        let at = event["timestamp"].as_str().unwrap();
        assert!(
            at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(),
            "{at}"
        );
        while serde_json::from_str::<Value>(&subscriber.message()).unwrap() != *event {}
        stage.assert_clean(way, &agent, "web").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docker_step_fails_and_the_others_go_on_and_it_is_tried_again() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    for way in WAYS {
        let agent = stage.running(way, "web").await;
        stage.door.fail("DELETE /containers/");
        stage.end(way, &agent).await;
        let told = stage.told(&agent, 1).await;
        assert_eq!(steps(&told[0]), done(false, true), "{way:?}: {}", told[0]);
        let detail = told[0]["detail"]["docker"].as_str().unwrap();
        assert!(
            detail.contains("the engine fails, as it was told to"),
            "{detail}"
        );
        assert_eq!(stage.containers(&agent), 1, "it is there, and dead");
        stage.door.mend();
        until("it is gone", || stage.containers(&agent) == 0).await;
        let told = stage.told(&agent, 2).await;
        assert_eq!(told.last().map(steps), Some(done(true, true)), "{told:?}");
        stage.assert_clean(way, &agent, "web").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worktree_step_fails_and_the_others_go_on_and_it_is_tried_again() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let trash = stage.site.data().join("trash");
    for way in WAYS {
        let agent = stage.running(way, "web").await;
        fs::remove_dir(&trash).unwrap();
        fs::write(&trash, "nothing can be moved in here").unwrap();
        stage.end(way, &agent).await;
        let told = stage.told(&agent, 1).await;
        assert_eq!(steps(&told[0]), done(true, false), "{way:?}: {}", told[0]);
        let detail = told[0]["detail"]["worktree"].as_str().unwrap();
        assert!(detail.starts_with("failed: "), "{detail}");
        assert_eq!(stage.containers(&agent), 0);
        assert_eq!(stage.rescued(&agent), "work\n");
        fs::remove_file(&trash).unwrap();
        fs::create_dir(&trash).unwrap();
        let folder = stage.site.data().join("agents").join(&agent);
        until("it is gone", || !folder.exists()).await;
        assert_eq!(
            stage.told(&agent, 2).await.last().map(steps),
            Some(done(true, true))
        );
        stage.assert_clean(way, &agent, "web").await;
    }
}

/// An agent that completed had a container; so it is one that could not be made, and one that was
/// killed before it had one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_container_the_docker_step_is_skipped() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let failed = pb::AgentSpec {
        repository: "web".into(),
        base_ref: "no-such-branch".into(),
        ..Default::default()
    };
    let failed = stage.site.spawn_spec(failed).await;
    let told = stage.told(&failed, 1).await;
    assert_eq!(told[0]["cleanup"]["docker"], false);
    assert_eq!(told[0]["detail"]["docker"], "skipped: it never started");
    assert_eq!(
        stage.site.agent(&failed).await.state(),
        pb::AgentState::Failed
    );

    let running = 8; // as many as a spoke runs at once; the next one waits
    for _ in 0..running {
        stage.site.spawn("sleep 1000").await;
    }
    let queued = stage.site.spawn("sleep 1000").await;
    assert_eq!(
        stage.site.agent(&queued).await.state(),
        pb::AgentState::Queued
    );
    stage.site.kill_all().await;
    let told = stage.told(&queued, 1).await;
    assert_eq!(told[0]["detail"]["docker"], "skipped: it never started");
    assert_eq!(
        stage.site.agent(&queued).await.state(),
        pb::AgentState::Killed
    );
    for agent in [&failed, &queued] {
        assert_eq!(
            (stage.containers(agent), stage.live_key(agent)),
            (0, String::new())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_repository_the_worktree_step_is_skipped() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    for way in WAYS {
        let agent = stage.running(way, "").await;
        stage.end(way, &agent).await;
        let told = stage.told(&agent, 1).await;
        assert_eq!(steps(&told[0]), done(true, false), "{way:?}: {}", told[0]);
        assert_eq!(told[0]["detail"]["worktree"], "skipped: no repository");
        stage.assert_clean(way, &agent, "").await;
    }
}

/// The engine fails to remove the container, and the operator forbids the engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_docker_disabled_its_step_is_skipped() {
    let Some(mut stage) = Stage::set().await else {
        return;
    };
    let mut ended = Vec::new();
    for way in WAYS {
        let agent = stage.running(way, "web").await;
        stage.door.fail("DELETE /containers/");
        stage.end(way, &agent).await;
        stage.told(&agent, 1).await;
        ended.push((way, agent));
    }
    let lost = stage.running(Way::Killswitch, "web").await;
    let top = "sandboxes = ['docker', 'process']\n";
    let forbidding = tables(&stage.server, &stage.door, false);
    stage.site.crash_and_start(top, &forbidding).await;
    stage.door.fail(""); // whatever it asks
    for (way, agent) in &ended {
        let skipped =
            "skipped: the sandbox docker cannot be used here: the configuration disables it";
        let last = stage.told_last(agent, "docker", skipped).await;
        assert_eq!(last["cleanup"]["docker"], false, "{way:?}: {last}");
        let state = stage.site.agent(agent).await.state();
        let expected = [
            (Way::Completion, pb::AgentState::Completed),
            (Way::Failure, pb::AgentState::Failed),
            (Way::Killswitch, pb::AgentState::Killed),
        ];
        assert!(
            expected.contains(&(*way, state)),
            "it was seen dead as {way:?}, and is {state:?}"
        );
    }
    // One that ran when the engine was forbidden: nobody may look, so nobody knows.
    let told = stage.told(&lost, 1).await;
    assert_eq!(told[0]["cleanup"]["worktree"], true);
    assert_eq!(stage.rescued(&lost), "work\n");
    let agent = stage.site.agent(&lost).await;
    assert_eq!(agent.state(), pb::AgentState::Failed);
    let cause = agent.cause.and_then(|cause| cause.kind);
    assert!(matches!(cause, Some(pb::cause::Kind::Lost(_))), "{cause:?}");
    assert_eq!(stage.left().len(), 4, "none was touched");
}
