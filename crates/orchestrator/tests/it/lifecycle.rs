//! The life of an agent, on fakes and with time paused.

use crate::stage::Stage;
use mosaic_common::agent::{AgentState, Cause, EventType, TimeLimit};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{CommandId, Reason};
use mosaic_testkit::worktrees::failure;
use orchestrator::sandbox::{Ending, Error};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_well_is_completed_rescued_and_gone() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    assert!(stage.worktrees.has(&agent));
    stage.sandbox.finish(&agent, Ending::Exit(0));
    let record = stage.cleaned(&agent).await;
    assert_eq!(
        (record.state, record.cause),
        (AgentState::Completed, Some(Cause::Exit { code: 0 }))
    );
    assert!(stage.worktrees.is_rescued(&agent) && !stage.worktrees.has(&agent));
    use EventType::{Cleanup, Completed, Queued, Running, Spawning, Stopping};
    assert_eq!(
        stage.types(&agent).await,
        [Queued, Spawning, Running, Stopping, Completed, Cleanup]
    );
}

#[tokio::test(start_paused = true)]
async fn every_way_a_program_ends_has_its_own_cause() {
    let stage = Stage::new().await;
    let table = [
        (Ending::Exit(3), Cause::Exit { code: 3 }),
        (Ending::Signal(11), Cause::Signal { signal: 11 }),
        (Ending::OutOfMemory, Cause::OutOfMemory { limit_bytes: 5 }),
        (
            Ending::Unknown("gone".into()),
            Cause::Lost {
                detail: "gone".into(),
            },
        ),
    ];
    for (ending, cause) in table {
        let limits = pb::Limits {
            memory_bytes: 5,
            ..Default::default()
        };
        let agent = stage
            .running(&pb::AgentSpec {
                limits: Some(limits),
                ..Stage::on_web()
            })
            .await;
        stage.sandbox.finish(&agent, ending);
        let record = stage.cleaned(&agent).await;
        assert_eq!(
            (record.state, record.cause),
            (AgentState::Failed, Some(cause))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_finds_the_same_agent_and_starts_no_second_one() {
    let stage = Stage::new().await;
    let record = stage.record(&Stage::on_web(), CommandId::random());
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let pass = stage.agents.gate().enter(None).unwrap();
        accepted.push(
            stage
                .agents
                .accept(record.clone(), pass)
                .await
                .unwrap()
                .id()
                .clone(),
        );
    }
    stage
        .until(record.id(), |record| record.state == AgentState::Running)
        .await;
    assert!(accepted.iter().all(|id| id == record.id()));
    assert_eq!(stage.sandbox.starts(record.id()), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_command_with_another_request_is_a_conflict() {
    let stage = Stage::new().await;
    let command = CommandId::random();
    let first = stage.record(&Stage::on_web(), command);
    let other = stage.record(
        &pb::AgentSpec {
            task: "something else".into(),
            ..Stage::on_web()
        },
        command,
    );
    let enter = || stage.agents.gate().enter(None).unwrap();
    stage.agents.accept(first, enter()).await.unwrap();
    let refusal = stage.agents.accept(other, enter()).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::CommandConflict);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_is_not_given_to_another_command() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    let again = pb::AgentSpec {
        agent_id: agent.to_string(),
        ..Stage::on_web()
    };
    assert_eq!(
        stage.spawn(&again).await.unwrap_err().reason,
        Reason::AgentExists
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_may_and_the_next_one_starts_when_one_ends() {
    let stage = Stage::with(Default::default(), Default::default(), 1).await;
    let first = stage.running(&Stage::on_web()).await;
    let second = stage.spawn(&Stage::on_web()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        stage.agents.get(&second).await.unwrap().unwrap().state,
        AgentState::Queued
    );
    stage.sandbox.finish(&first, Ending::Exit(0));
    stage
        .until(&second, |record| record.state == AgentState::Running)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_life_that_is_too_long_is_ended() {
    let stage = Stage::new().await;
    let wall_clock = Some(prost_types::Duration {
        seconds: 30,
        nanos: 0,
    });
    let limits = pb::Limits {
        wall_clock,
        ..Default::default()
    };
    let agent = stage
        .running(&pb::AgentSpec {
            limits: Some(limits),
            ..Stage::on_web()
        })
        .await;
    let record = stage.cleaned(&agent).await;
    assert_eq!(
        record.cause,
        Some(Cause::TimedOut {
            limit: TimeLimit::WallClock
        })
    );
    assert_eq!(record.state, AgentState::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_fills_its_part_of_the_disk_is_ended() {
    let stage = Stage::new().await;
    let limits = Some(pb::Limits {
        disk_bytes: 1000,
        ..Default::default()
    });
    let agent = stage
        .running(&pb::AgentSpec {
            limits,
            ..Stage::on_web()
        })
        .await;
    stage.worktrees.fill(&agent, 1000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let now = stage.agents.get(&agent).await.unwrap().unwrap();
    assert_eq!(now.state, AgentState::Running, "all that it may have");
    stage.worktrees.fill(&agent, 1001);
    let record = stage.cleaned(&agent).await;
    assert_eq!(record.cause, Some(Cause::OutOfDisk { limit_bytes: 1000 }));
    assert_eq!(record.state, AgentState::Failed);
    assert!(stage.worktrees.is_rescued(&agent));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_an_agent_and_output_keeps_it_alive() {
    let stage = Stage::new().await;
    let idle = Some(prost_types::Duration {
        seconds: 60,
        nanos: 0,
    });
    let limits = Some(pb::Limits {
        idle,
        ..Default::default()
    });
    let agent = stage
        .running(&pb::AgentSpec {
            limits,
            ..Stage::on_web()
        })
        .await;
    let file = stage.output().join(agent.as_str());
    for size in 1..5 {
        tokio::time::sleep(Duration::from_secs(40)).await;
        std::fs::write(&file, vec![b'x'; size]).unwrap();
    }
    assert_eq!(
        stage.agents.get(&agent).await.unwrap().unwrap().state,
        AgentState::Running
    );
    let record = stage.cleaned(&agent).await;
    assert_eq!(
        record.cause,
        Some(Cause::TimedOut {
            limit: TimeLimit::Idle
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_worktree_that_cannot_be_made_fails_the_agent_and_leaves_nothing() {
    let stage = Stage::new().await;
    stage.worktrees.fail_add(failure("add a worktree"));
    let agent = stage.spawn(&Stage::on_web()).await.unwrap();
    let record = stage.cleaned(&agent).await;
    assert_eq!(record.state, AgentState::Failed);
    assert!(matches!(record.cause, Some(Cause::SpawnFailed { step, .. }) if step == "worktree"));
    assert_eq!(stage.sandbox.starts(&agent), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_start_fails_the_agent_and_its_worktree_is_removed() {
    let stage = Stage::new().await;
    stage.sandbox.fail_ensure(Error::Start("no".into()));
    let agent = stage.spawn(&Stage::on_web()).await.unwrap();
    let record = stage.cleaned(&agent).await;
    assert!(matches!(record.cause, Some(Cause::SpawnFailed { step, .. }) if step == "sandbox"));
    assert!(!stage.worktrees.has(&agent));
}

#[tokio::test(start_paused = true)]
async fn a_spawn_that_cannot_be_remembered_is_refused_and_nothing_is_made() {
    let stage = Stage::new().await;
    stage.store.break_writes();
    let refusal = stage.spawn(&Stage::on_web()).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::StoreUnavailable);
    stage.store.mend();
    assert!(stage.agents.alive().is_empty() && stage.events().await.is_empty());
    assert!(
        stage.agents.gate().check(None).is_ok(),
        "its place came back"
    );
}

#[tokio::test(start_paused = true)]
async fn draining_ends_everybody_and_lets_nobody_in() {
    let stage = Stage::new().await;
    let (one, two) = (
        stage.running(&Stage::on_web()).await,
        stage.running(&Stage::on_web()).await,
    );
    stage.agents.drain(Duration::from_secs(30)).await;
    for agent in [one, two] {
        let record = stage.agents.get(&agent).await.unwrap().unwrap();
        assert_eq!(
            (record.state, record.cause),
            (AgentState::Failed, Some(Cause::Drained))
        );
        assert!(stage.worktrees.is_rescued(&agent));
    }
    assert_eq!(
        stage.spawn(&Stage::on_web()).await.unwrap_err().reason,
        Reason::SpokeDraining
    );
}

#[tokio::test(start_paused = true)]
async fn a_restarted_spoke_takes_up_what_waits_and_ends_what_is_lost() {
    let stage = Stage::with(Default::default(), Default::default(), 1).await;
    let lost = stage.running(&Stage::on_web()).await;
    let waiting = stage.spawn(&Stage::on_web()).await.unwrap();
    // The new life has an empty sandbox: the running program is gone.
    let again = stage.again().await;
    let record = again.cleaned(&lost).await;
    assert!(
        matches!(record.cause, Some(Cause::Lost { .. })),
        "{:?}",
        record.cause
    );
    again
        .until(&waiting, |record| record.state == AgentState::Running)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_has_told_a_status_tells_too() {
    let stage = std::sync::Arc::new(Stage::new().await);
    for _ in 0..30 {
        let agent = stage.running(&Stage::on_web()).await;
        let mut head = mosaic_store::StateStore::head(stage.store.as_ref());
        stage.sandbox.finish(&agent, Ending::Exit(0));
        while !stage.types(&agent).await.contains(&EventType::Cleanup) {
            head.changed().await.unwrap();
        }
        let record = stage.agents.get(&agent).await.unwrap().unwrap();
        assert_eq!(record.state, AgentState::Completed);
        assert!(record.cleanup.is_some());
    }
}
