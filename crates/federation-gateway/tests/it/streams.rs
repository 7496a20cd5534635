//! Watch and logs through the hub: back-pressure, limits, and ends that are told.

use crate::spoke::Mood;
use crate::world::{PATIENCE, World, config, data_folder, reason, spawned, write_connections};
use federation_gateway::Hub;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{AgentId, CommandId, Reason};
use mosaic_federation::connection::ConnectionState;

fn logs(agent_id: &str) -> pb::LogsRequest {
    pb::LogsRequest {
        agent_id: agent_id.into(),
        follow: true,
        ..Default::default()
    }
}

#[tokio::test]
async fn output_flows_in_order_and_an_endless_stream_ends_when_the_client_goes() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let agent = spawned(&mut client, "a").await;
    let mut output = client.logs(logs(&agent)).await.unwrap().into_inner();
    for cursor in 1..=500 {
        let chunk = output.message().await.unwrap().unwrap();
        assert_eq!(chunk.next_cursor, cursor);
    }
}

#[tokio::test]
async fn a_refused_stream_is_a_refusal_and_not_a_stream() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let agent_id = spawned(&mut client, "a").await;
    world
        .spoke("a")
        .feel(Mood::Refusing(Reason::ResultNotReady));
    let request = pb::ResultRequest {
        agent_id,
        ..Default::default()
    };
    assert_eq!(reason(client.result(request).await), Reason::ResultNotReady);
}

#[tokio::test]
async fn a_stream_whose_receipt_is_forged_is_not_shown() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let agent = spawned(&mut client, "a").await;
    world.spoke("a").feel(Mood::Forging);
    assert_eq!(
        reason(client.logs(logs(&agent)).await),
        Reason::ReceiptInvalid
    );
}

#[tokio::test]
async fn a_watch_needs_one_site_and_finds_it_by_its_agent() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let everything = pb::WatchRequest::default();
    assert_eq!(reason(client.watch(everything).await), Reason::SiteRequired);
    let agent_id = spawned(&mut client, "b").await;
    let request = pb::WatchRequest {
        agent_id: agent_id.clone(),
        ..Default::default()
    };
    let mut events = client.watch(request).await.unwrap().into_inner();
    let Some(pb::watch_response::Item::Event(event)) =
        events.message().await.unwrap().unwrap().item
    else {
        panic!("an event");
    };
    assert_eq!((event.site, event.agent_id), ("b".to_owned(), agent_id));
    assert_eq!(world.spoke("a").count(CommandKind::Watch), 0);
}

#[tokio::test]
async fn a_stopping_hub_tells_its_streams_and_stops_in_time() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let agent_id = spawned(&mut client, "a").await;
    let request = pb::WatchRequest {
        agent_id,
        ..Default::default()
    };
    let mut events = client.watch(request).await.unwrap().into_inner();
    events.message().await.unwrap().unwrap();
    let address = world.hub.address();
    let stopped = tokio::time::timeout(PATIENCE, world.hub.stop());
    let (end, stopped) = tokio::join!(events.message(), stopped);
    assert_eq!(reason(end), Reason::SiteUnreachable);
    stopped.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_others_go_on() {
    let (folder, identity, [admin, _]) = data_folder().await;
    let spoke = crate::spoke::Spoke::new("a", ConnectionState::Active, &identity);
    write_connections(folder.path(), std::slice::from_ref(&spoke.peer));
    let mut config = config(folder.path());
    config.limits.streams = 1;
    let links = crate::world::Links::of([spoke]);
    let hub = Hub::start_with(config, |_, _| links).await.unwrap();
    let mut client = crate::world::connect(&hub, &admin).await;
    let agent = AgentId::of_command(CommandId::random()).to_string();
    let mut first = client.logs(logs(&agent)).await.unwrap().into_inner();
    first.message().await.unwrap().unwrap();
    assert_eq!(reason(client.logs(logs(&agent)).await), Reason::Overloaded);
    drop(first);
    let again = async { while client.logs(logs(&agent)).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
}
