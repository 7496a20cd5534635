//! The one way to end an agent: every scenario on each way it may begin.

use crate::stage::Stage;
use mosaic_common::AgentId;
use mosaic_common::agent::{AgentRecord, AgentState, Cause, EventType, Outcome};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_testkit::worktrees::failure;
use orchestrator::cleanup::{self, Means};
use orchestrator::sandbox::{Ending, Error};
use orchestrator::sandboxes::Sandboxes;
use orchestrator::worktrees;
use std::time::Duration;

/// The ways an ending begins.
#[derive(Debug, Clone, Copy)]
enum Way {
    Completion,
    Failure,
    Kill,
}

const WAYS: [Way; 3] = [Way::Completion, Way::Failure, Way::Kill];

async fn end(stage: &Stage, agent: &AgentId, way: Way) {
    match way {
        Way::Completion => stage.sandbox.finish(agent, Ending::Exit(0)),
        Way::Failure => stage.sandbox.finish(agent, Ending::Exit(1)),
        Way::Kill => {
            let cause = Cause::Killed {
                by: "test".into(),
                reason: String::new(),
            };
            let (grace, budget) = (Duration::ZERO, Duration::from_secs(600));
            stage.agents.end(agent, cause, grace, budget).await.unwrap();
        }
    }
}

fn state(way: Way) -> AgentState {
    match way {
        Way::Completion => AgentState::Completed,
        Way::Failure => AgentState::Failed,
        Way::Kill => AgentState::Killed,
    }
}

/// Outcomes of sandbox, rescue, worktree and state, in the first report there was.
async fn first_report(stage: &Stage, agent: &AgentId) -> [Outcome; 4] {
    stage.cleaned(agent).await;
    let events = stage.events().await;
    let first = events
        .iter()
        .find(|event| event.agent_id == *agent && event.r#type == EventType::Cleanup);
    let report = first.unwrap().cleanup.as_ref().unwrap();
    [
        &report.sandbox,
        &report.rescue,
        &report.worktree,
        &report.state,
    ]
    .map(|step| step.outcome)
}

use Outcome::{Done, Failed, Skipped};

#[tokio::test(start_paused = true)]
async fn all_is_cleaned() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        end(&stage, &agent, way).await;
        assert_eq!(first_report(&stage, &agent).await, [Done; 4], "{way:?}");
        let record: AgentRecord = stage.cleaned(&agent).await;
        assert_eq!(record.state, state(way));
        assert!(record.cleanup.unwrap().rescue_commit.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_step_fails_and_the_others_go_on() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        let source = std::io::Error::other("the engine is slow");
        stage.sandbox.fail_remove(Error::System {
            step: "remove the container",
            source,
        });
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Failed, Done, Done, Done],
            "{way:?}"
        );
        assert_eq!(stage.cleaned(&agent).await.state, state(way));
    }
}

#[tokio::test(start_paused = true)]
async fn the_worktree_step_fails_and_the_others_go_on() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        stage.worktrees.fail_remove(failure("remove the worktree"));
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Done, Done, Failed, Done],
            "{way:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_is_not_rescued_is_not_removed() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        stage
            .worktrees
            .fail_rescue(failure("write the rescue commit"));
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Done, Failed, Failed, Done],
            "{way:?}"
        );
        assert!(stage.worktrees.is_rescued(&agent), "it was tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_repository_rescue_and_worktree_are_skipped() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&pb::AgentSpec::default()).await;
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Done, Skipped, Skipped, Done],
            "{way:?}"
        );
        assert!(
            !stage.worktrees.has(&agent),
            "its folder is gone all the same"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_started_has_no_sandbox_to_remove() {
    let stage = Stage::new().await;
    stage.worktrees.fail_add(failure("add the worktree"));
    let agent = stage.spawn(&Stage::on_web()).await.unwrap();
    assert_eq!(
        first_report(&stage, &agent).await,
        [Skipped, Skipped, Done, Done]
    );
}

/// Nobody may look for it, so nobody says that it was seen dead.
#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_forbidden_is_skipped_and_its_agent_is_lost() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        let mut record = stage.until(&agent, |_| true).await;
        record.cause = Some(match way {
            Way::Completion => Cause::Exit { code: 0 },
            Way::Failure => Cause::Exit { code: 1 },
            Way::Kill => Cause::Killed {
                by: "test".into(),
                reason: String::new(),
            },
        });
        let name = record.spec.sandbox.clone().unwrap();
        let means = Means {
            sandboxes: &Sandboxes::default().forbidding(name),
            ..stage.agents.deps().means()
        };
        let after = cleanup::remove(&means, &record, Duration::ZERO).await;
        let report = after.cleanup.as_ref().unwrap();
        let steps = [
            &report.sandbox,
            &report.rescue,
            &report.worktree,
            &report.state,
        ];
        assert_eq!(
            steps.map(|step| step.outcome),
            [Skipped, Done, Done, Done],
            "{way:?}"
        );
        assert_eq!(after.state, AgentState::Failed);
        assert!(
            matches!(after.cause, Some(Cause::Lost { .. })),
            "{:?}",
            after.cause
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_fails_and_the_event_still_appears() {
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        let source = std::io::Error::other("the engine is gone");
        stage.sandbox.fail_remove(Error::System {
            step: "remove the container",
            source,
        });
        stage
            .worktrees
            .fail_rescue(failure("write the rescue commit"));
        stage.store.fail_put_after(1); // "stopping" still goes through
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Failed, Failed, Failed, Failed],
            "{way:?}"
        );
        assert_eq!(stage.cleaned(&agent).await.state, state(way));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_alive_is_not_called_killed_and_keeps_its_worktree() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    for _ in 0..3 {
        stage
            .sandbox
            .fail_remove(Error::Alive("process 17 does not die".into()));
    }
    let cause = Cause::Killed {
        by: "test".into(),
        reason: String::new(),
    };
    let ended = stage
        .agents
        .end(&agent, cause, Duration::ZERO, Duration::ZERO)
        .await
        .unwrap();
    assert!(matches!(ended, orchestrator::lifecycle::Ended::NotYet(_)));
    let stuck = stage.until(&agent, |record| record.cleanup.is_some()).await;
    assert_eq!(stuck.state, AgentState::Stopping);
    assert!(stage.worktrees.has(&agent));
    let record = stage.cleaned(&agent).await;
    assert_eq!(record.state, AgentState::Killed);
    assert!(!stage.worktrees.has(&agent));
}

#[tokio::test(start_paused = true)]
async fn an_ending_that_is_not_clean_is_taken_up_by_the_next_life() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    for _ in 0..20 {
        stage.worktrees.fail_remove(failure("remove the worktree"));
    }
    stage.sandbox.finish(&agent, Ending::Exit(0));
    stage.until(&agent, |record| record.state.is_final()).await;
    stage.agents.drain(Duration::from_secs(1)).await;
    assert!(stage.worktrees.has(&agent));
    let again = stage.again().await;
    let record = again.cleaned(&agent).await;
    assert_eq!(record.state, AgentState::Completed);
    assert!(!stage.worktrees.has(&agent));
}

#[tokio::test(start_paused = true)]
async fn the_report_says_when_what_failed_is_tried_again_and_how_often_it_was() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    for _ in 0..3 {
        stage.worktrees.fail_remove(failure("remove the worktree"));
    }
    end(&stage, &agent, Way::Completion).await;
    let failed = stage
        .until(&agent, |record| {
            let report = record.cleanup.as_ref();
            report.is_some_and(|report| report.attempts == 2)
        })
        .await;
    let report = failed.cleanup.unwrap();
    let pause = report.next_attempt.unwrap() - stage.agents.deps().journal.now();
    assert_eq!(pause.total(jiff::Unit::Millisecond).unwrap(), 1000.0);
    assert_eq!(report.worktree.outcome, Failed);
    let report = stage.cleaned(&agent).await.cleanup.unwrap();
    assert_eq!((report.attempts, report.next_attempt), (4, None));
    let types = stage.types(&agent).await;
    let told = types.iter().filter(|r#type| **r#type == EventType::Cleanup);
    assert_eq!(
        told.count(),
        2,
        "a failure that stays the same is told once"
    );
}

#[tokio::test(start_paused = true)]
async fn work_that_cannot_be_rescued_goes_to_quarantine_and_is_never_removed() {
    let lasting = || worktrees::Error::TooLarge {
        limit: 1,
        unit: "bytes",
    };
    for way in WAYS {
        let stage = Stage::new().await;
        let agent = stage.running(&Stage::on_web()).await;
        stage.worktrees.fail_rescue(lasting());
        end(&stage, &agent, way).await;
        assert_eq!(
            first_report(&stage, &agent).await,
            [Done, Failed, Done, Done],
            "{way:?}"
        );
        assert!(stage.worktrees.is_quarantined(&agent));
        let record = stage.cleaned(&agent).await;
        assert_eq!(record.state, state(way));
        let kept = record.cleanup.unwrap().quarantine.unwrap();
        let hours = (kept.until - kept.since).total(jiff::Unit::Hour);
        assert_eq!(hours.unwrap(), 24.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rescue_that_keeps_failing_is_given_up_after_a_while_and_its_work_kept() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    for _ in 0..10 {
        stage
            .worktrees
            .fail_rescue(failure("read the agent's objects"));
    }
    end(&stage, &agent, Way::Completion).await;
    let report = stage.cleaned(&agent).await.cleanup.unwrap();
    assert_eq!((report.attempts, report.rescue.outcome), (10, Failed));
    assert!(stage.worktrees.is_quarantined(&agent) && report.quarantine.is_some());
    assert!(!stage.worktrees.is_rescued(&agent));
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_in_quarantine_without_a_record_of_it_is_found_there() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    // As if the spoke died between the move and the record of it.
    let deps = stage.agents.deps();
    deps.worktrees.quarantine(&agent).await.unwrap();
    end(&stage, &agent, Way::Failure).await;
    let report = stage.cleaned(&agent).await.cleanup.unwrap();
    assert!(report.quarantine.is_some(), "{report:?}");
    assert!(stage.worktrees.is_quarantined(&agent));
}
