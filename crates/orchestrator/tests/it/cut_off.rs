//! A site that is cut off from its hub does with the hub's agents what the grant says.

use crate::stage::Stage;
use mosaic_common::agent::{AgentState, Cause, TimeLimit};
use mosaic_common::{AgentId, CommandId};
use mosaic_federation::connection::{Connections, HubPeer, parse_hubs};
use orchestrator::cut_off;
use std::sync::Arc;
use std::time::Duration;

/// Two hubs; the agents of the first are stopped after two minutes.
fn hubs() -> Arc<Connections<HubPeer>> {
    let file = include_str!("../../../../deploy/spoke-connections.toml");
    let first = file.replace("# cut_off_seconds = 900", "cut_off_seconds = 120");
    let second = file.replace("berlin-alpha", "paris-alpha");
    let second = second
        .replace("fc51cd8e", "fc51cd8f")
        .replace("278117fc", "278117fd");
    assert_ne!(first, file, "the example shows the line");
    let parsed = [first, second].map(|file| parse_hubs(&file).unwrap());
    Arc::new(Connections::new(parsed.concat()))
}

async fn running_for(stage: &Stage, connection: &str) -> AgentId {
    let mut record = stage.record(&Stage::on_web(), CommandId::random());
    record.connection = Some(connection.parse().unwrap());
    let pass = stage.agents.gate().enter(None).unwrap();
    let agent = stage
        .agents
        .accept(record, pass)
        .await
        .unwrap()
        .id()
        .clone();
    stage
        .until(&agent, |record| record.state == AgentState::Running)
        .await;
    agent
}

#[tokio::test(start_paused = true)]
async fn agents_of_a_hub_that_is_out_of_touch_are_stopped_where_the_grant_says_so() {
    let (stage, hubs) = (Stage::new().await, hubs());
    let stopped = running_for(&stage, "berlin-alpha").await;
    let goes_on = running_for(&stage, "paris-alpha").await;
    tokio::spawn(cut_off::keep(stage.agents.clone(), hubs.clone()));
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        hubs.by_id(&"berlin-alpha".parse().unwrap())
            .unwrap()
            .contact()
            .heard();
    }
    let state =
        |agent: AgentId| async { stage.agents.get(&{ agent }).await.unwrap().unwrap().state };
    assert_eq!(
        state(stopped.clone()).await,
        AgentState::Running,
        "it speaks"
    );
    tokio::time::sleep(Duration::from_secs(130)).await;
    let record = stage.cleaned(&stopped).await;
    let limit = TimeLimit::CutOff;
    assert_eq!(record.cause, Some(Cause::TimedOut { limit }));
    assert!(stage.worktrees.is_rescued(&stopped));
    assert_eq!(
        state(goes_on).await,
        AgentState::Running,
        "its grant says nothing"
    );
}
