//! What is there and should not be: ended once it is sure, never when in doubt.

use crate::stage::Stage;
use mosaic_common::agent::{AgentState, Cause};
use mosaic_common::{AgentId, CommandId};
use orchestrator::reconcile;
use orchestrator::sandbox::{Ending, Sandbox, SandboxSpec};
use orchestrator::worktrees::{Checkout, Worktrees};
use std::time::Duration;

/// Longer than the grace, and two looks.
const A_WHILE: Duration = Duration::from_secs(30);

/// Runs the reconciler for a while.
async fn reconcile(stage: &Stage) {
    drop(tokio::time::timeout(A_WHILE, reconcile::keep(stage.agents.clone())).await);
}

/// A sandbox and a worktree of an agent that the store does not know, as it stands after a store
/// was lost.
async fn stranger(stage: &Stage) -> AgentId {
    let known = stage.running(&Stage::on_web()).await;
    let agent = AgentId::of_command(CommandId::random());
    let spec = SandboxSpec {
        agent: agent.clone(),
        ..stage.sandbox.spec(&known).unwrap()
    };
    let checkout = Checkout {
        repository: "web".parse().unwrap(),
        base: None,
    };
    stage.worktrees.add(&agent, Some(&checkout)).await.unwrap();
    stage.sandbox.ensure(&spec).await.unwrap();
    agent
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_the_store_does_not_know_is_stopped_rescued_and_told() {
    let stage = Stage::new().await;
    let agent = stranger(&stage).await;
    reconcile(&stage).await;
    let record = stage.cleaned(&agent).await;
    assert!(
        matches!(record.cause, Some(Cause::Lost { .. })),
        "{record:?}"
    );
    assert_eq!(record.state, AgentState::Failed);
    assert_eq!(record.spec.repository, Some("web".parse().unwrap()));
    assert!(stage.sandbox.spec(&agent).is_none() && !stage.worktrees.has(&agent));
    assert!(
        stage.worktrees.is_rescued(&agent),
        "its work is found under its id"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_an_agent_that_has_ended_goes() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    let spec = stage.sandbox.spec(&agent).unwrap();
    stage.sandbox.finish(&agent, Ending::Exit(0));
    let ended = stage.cleaned(&agent).await;
    // As if somebody had put back an older disk.
    stage.sandbox.ensure(&spec).await.unwrap();
    reconcile(&stage).await;
    assert!(stage.sandbox.spec(&agent).is_none());
    let after = stage.cleaned(&agent).await;
    assert_eq!((after.state, after.cause), (ended.state, ended.cause));
}

#[tokio::test(start_paused = true)]
async fn who_lives_is_left_alone() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    reconcile(&stage).await;
    assert!(stage.sandbox.spec(&agent).is_some() && stage.worktrees.has(&agent));
    let record = stage.agents.get(&agent).await.unwrap().unwrap();
    assert_eq!(record.state, AgentState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_means_that_nothing_is_touched() {
    let stage = Stage::new().await;
    let agent = stranger(&stage).await;
    stage.store.break_reads();
    reconcile(&stage).await;
    assert!(stage.sandbox.spec(&agent).is_some() && stage.worktrees.has(&agent));
    stage.store.mend();
    reconcile(&stage).await;
    assert!(stage.sandbox.spec(&agent).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_listed_is_never_taken_for_an_empty_one() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    stage.sandbox.break_list();
    reconcile(&stage).await;
    assert!(stage.sandbox.spec(&agent).is_some() && stage.worktrees.has(&agent));
}
