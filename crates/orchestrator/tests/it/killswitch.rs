//! Kill one, kill all, latch and release, on fakes.

use crate::stage::Stage;
use mosaic_common::agent::{AgentState, Cause};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, CommandId, Reason};
use orchestrator::killswitch::{self, Killed, Latched, Order};
use orchestrator::lifecycle::Quota;
use orchestrator::sandbox::Ending;
use std::time::Duration;

fn order() -> Order {
    Order {
        command: CommandId::random(),
        by: "local:0".into(),
        reason: "enough".into(),
        connection: None,
    }
}

fn order_of(connection: &str) -> Order {
    Order {
        connection: Some(connection.parse().unwrap()),
        ..order()
    }
}

async fn kill(stage: &Stage, agent: &AgentId) -> Killed {
    killswitch::kill(&stage.agents, agent, &order(), Duration::ZERO)
        .await
        .unwrap()
}

/// Spawns an agent for a connection and waits until it runs.
async fn running_for(stage: &Stage, connection: &str) -> AgentId {
    let quota = Quota {
        connection: connection.parse().unwrap(),
        agents: 9,
    };
    let mut record = stage.record(&Stage::on_web(), CommandId::random());
    record.connection = Some(quota.connection.clone());
    let pass = stage.agents.gate().enter(Some(&quota)).unwrap();
    stage.agents.accept(record.clone(), pass).await.unwrap();
    stage
        .until(record.id(), |record| record.state == AgentState::Running)
        .await;
    record.id().clone()
}

#[tokio::test(start_paused = true)]
async fn a_kill_answers_when_the_agent_is_dead_and_says_who_and_why() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    let Killed::Dead(record) = kill(&stage, &agent).await else {
        panic!("not dead")
    };
    assert_eq!(
        record.cause,
        Some(Cause::Killed {
            by: "local:0".into(),
            reason: "enough".into()
        })
    );
    assert!(record.cleanup.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn stop_requests_are_idempotent() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    let (one, other) = tokio::join!(kill(&stage, &agent), kill(&stage, &agent));
    assert!(matches!((one, other), (Killed::Dead(_), Killed::Dead(_))));
    assert!(matches!(
        kill(&stage, &agent).await,
        Killed::AlreadyEnded(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_waits_is_killed_before_it_starts() {
    let stage = Stage::with(Default::default(), Default::default(), 1).await;
    stage.running(&Stage::on_web()).await;
    let waiting = stage.spawn(&Stage::on_web()).await.unwrap();
    assert!(matches!(kill(&stage, &waiting).await, Killed::Dead(_)));
    assert_eq!(stage.sandbox.starts(&waiting), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_comes_before_its_spawn_wins() {
    let stage = Stage::new().await;
    let record = stage.record(&Stage::on_web(), CommandId::random());
    assert!(matches!(
        kill(&stage, record.id()).await,
        Killed::NeverStarted
    ));
    assert!(matches!(
        kill(&stage, record.id()).await,
        Killed::NeverStarted
    ));
    let pass = stage.agents.gate().enter(None).unwrap();
    let refusal = stage.agents.accept(record.clone(), pass).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::AgentBarred);
    assert_eq!(stage.sandbox.starts(record.id()), 0);
}

#[tokio::test(start_paused = true)]
async fn the_killswitch_ends_every_agent_and_refuses_new_ones() {
    let stage = Stage::new().await;
    let one = stage.running(&Stage::on_web()).await;
    let two = stage.running(&pb::AgentSpec::default()).await;
    let waiting = stage.spawn(&Stage::on_web()).await.unwrap();
    let killed = killswitch::kill_all(&stage.agents, &order()).await;
    assert_eq!((killed.agents.len(), killed.latch), (3, Latched::Durably));
    assert!(killed.agents.iter().all(|(id, killed)| {
        [&one, &two, &waiting].contains(&id) && matches!(killed, Killed::Dead(_))
    }));
    assert_eq!(
        stage.spawn(&Stage::on_web()).await.unwrap_err().reason,
        Reason::SpawnsLatched
    );
}

#[tokio::test(start_paused = true)]
async fn the_latch_outlives_the_spoke_until_it_is_released() {
    let stage = Stage::new().await;
    drop(killswitch::kill_all(&stage.agents, &order()).await);
    let again = stage.again().await;
    assert_eq!(
        again.spawn(&Stage::on_web()).await.unwrap_err().reason,
        Reason::SpawnsLatched
    );
    assert!(killswitch::release(&again.agents, &order()).await.unwrap());
    assert!(!killswitch::release(&again.agents, &order()).await.unwrap());
    assert!(again.again().await.spawn(&Stage::on_web()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hub_kills_and_latches_only_what_is_its_own() {
    let stage = Stage::new().await;
    let (theirs, others) = (
        running_for(&stage, "a").await,
        running_for(&stage, "b").await,
    );
    let killed = killswitch::kill_all(&stage.agents, &order_of("a")).await;
    let killed = killed.agents;
    assert_eq!(
        killed.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        [&theirs]
    );
    assert_eq!(
        stage.agents.get(&others).await.unwrap().unwrap().state,
        AgentState::Running
    );
    assert!(stage.spawn(&Stage::on_web()).await.is_ok());
    assert!(
        !killswitch::release(&stage.agents, &order_of("b"))
            .await
            .unwrap()
    );
    assert!(
        killswitch::release(&stage.agents, &order()).await.unwrap(),
        "the operator releases all"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kill_works_with_the_store_gone() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    stage.store.break_writes();
    stage.store.break_reads();
    let killed = kill(&stage, &agent).await;
    assert!(matches!(killed, Killed::Dead(_)), "{killed:?}");
    assert!(
        stage.sandbox.spec(&agent).is_none(),
        "it is dead, whatever could be written"
    );
    stage.store.mend();
    assert_eq!(stage.cleaned(&agent).await.state, AgentState::Killed);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_came_first_is_the_one_that_is_told() {
    let stage = Stage::new().await;
    let agent = stage.running(&Stage::on_web()).await;
    stage.sandbox.finish(&agent, Ending::Exit(0));
    stage.cleaned(&agent).await;
    let Killed::AlreadyEnded(record) = kill(&stage, &agent).await else {
        panic!("killed twice")
    };
    assert_eq!(record.state, AgentState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_spawn_that_was_on_its_way_in_does_not_survive_a_kill_all() {
    let stage = Stage::new().await;
    let record = stage.record(&Stage::on_web(), CommandId::random());
    let pass = stage.agents.gate().enter(None).unwrap();
    let killed = killswitch::kill_all(&stage.agents, &order()).await;
    assert!(killed.agents.is_empty(), "it is not there yet");
    stage.agents.accept(record.clone(), pass).await.unwrap();
    assert_eq!(stage.cleaned(record.id()).await.state, AgentState::Killed);
    assert_eq!(stage.sandbox.starts(record.id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_does_not_wait_for_a_fetch() {
    let stage = Stage::new().await;
    stage.worktrees.never_add();
    let agent = stage.spawn(&Stage::on_web()).await.unwrap();
    stage
        .until(&agent, |record| record.state == AgentState::Spawning)
        .await;
    assert!(matches!(kill(&stage, &agent).await, Killed::Dead(_)));
    assert_eq!(stage.sandbox.starts(&agent), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_all_with_the_store_full_kills_latches_and_says_what_it_could_not_store() {
    let stage = Stage::new().await;
    let agents = [
        stage.running(&Stage::on_web()).await,
        stage.running(&pb::AgentSpec::default()).await,
    ];
    stage.store.break_writes();
    let killed = killswitch::kill_all(&stage.agents, &order()).await;
    assert_eq!(killed.latch, Latched::InMemory);
    assert_eq!(killed.agents.len(), 2);
    for (agent, killed) in &killed.agents {
        assert!(matches!(killed, Killed::Dead(_)), "{killed:?}");
        assert!(stage.sandbox.spec(agent).is_none());
    }
    stage.store.mend();
    for agent in &agents {
        assert_eq!(stage.cleaned(agent).await.state, AgentState::Killed);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refusal = stage.again().await.spawn(&Stage::on_web()).await;
    assert_eq!(
        refusal.unwrap_err().reason,
        Reason::SpawnsLatched,
        "stored as soon as that could be done"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_die_is_named_with_why_and_keeps_no_other_alive() {
    let stage = Stage::new().await;
    let [stuck, other] = [
        stage.running(&Stage::on_web()).await,
        stage.running(&Stage::on_web()).await,
    ];
    stage.sandbox.never_remove(&stuck);
    let begun = tokio::time::Instant::now();
    let killed = killswitch::kill_all(&stage.agents, &order()).await;
    assert!(begun.elapsed() <= Duration::from_secs(31), "its budget");
    let of = |agent: &AgentId| {
        let found = killed.agents.iter().find(|(id, _)| id == agent);
        found.map(|(_, killed)| killed).unwrap()
    };
    let Killed::NotProved(_, why) = of(&stuck) else {
        panic!("{killed:?}")
    };
    assert!(why.contains("stopping"), "{why}");
    assert!(matches!(of(&other), Killed::Dead(_)), "{killed:?}");
}
