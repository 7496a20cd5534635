//! Step 1: who may speak, and how long.

use crate::world::{HubSide, Party, World, eventually, kill, spawn, status};
use futures_util::StreamExt;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_federation::connection::ConnectionState;
use mosaic_federation::link::{Link, LinkError};
use std::time::Duration;

#[tokio::test]
async fn a_known_hub_is_answered() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&spawn()).await, "");
    assert_eq!(world.side.ask(&status()).await, "");
    assert_eq!(world.side.ask(&kill()).await, "");
    assert_eq!(world.executed(), 3);
}

#[tokio::test]
async fn an_unknown_hub_does_not_get_through_the_handshake() {
    let world = World::new().await;
    let stranger = Party::new("hub-berlin");
    let side = HubSide::new(&stranger, world.side.peer.clone(), world.clock.clone());
    let error = side.send(&side.sign(&status())).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error}");
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn a_spoke_with_another_key_is_not_spoken_to() {
    let world = World::new().await;
    let mut peer = world.side.peer.clone();
    peer.tls_key = Party::new("x").identity.public().tls_key;
    let side = HubSide::new(&world.hub, peer, world.clock.clone());
    let error = side.send(&side.sign(&status())).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error}");
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn pending_and_revoked_hubs_do_not_get_through_the_handshake() {
    for state in [ConnectionState::Pending, ConnectionState::Revoked] {
        let world = World::with(|peer| peer.state = state).await;
        let error = world.side.send(&world.side.sign(&kill())).await;
        assert!(matches!(error, Err(LinkError::Connect { .. })), "{state}");
        assert_eq!(world.executed(), 0);
    }
}

#[tokio::test]
async fn a_connection_that_becomes_active_is_served_without_a_restart() {
    let world = World::with(|peer| peer.state = ConnectionState::Pending).await;
    let command = world.side.sign(&status());
    assert!(world.side.send(&command).await.is_err());
    world.change(|peer| peer.state = ConnectionState::Active);
    assert_eq!(world.side.ask(&status()).await, "");
}

#[tokio::test]
async fn a_suspended_hub_gets_status_and_kill_and_signed_refusals_for_the_rest() {
    let world = World::with(|peer| peer.state = ConnectionState::Suspended).await;
    assert_eq!(world.side.ask(&status()).await, "");
    assert_eq!(world.side.ask(&kill()).await, "");
    let side = &world.side;
    let refused = [
        side.ask(&spawn()).await,
        side.ask(&pb::ListRequest::default()).await,
        side.ask(&pb::KillAllRequest::default()).await,
        side.ask(&pb::ReleaseRequest::default()).await,
    ];
    assert_eq!(refused, ["CONNECTION_SUSPENDED"; 4]);
    assert_eq!(world.executed(), 2);
}

#[tokio::test]
async fn revoking_cuts_the_connection_that_is_open() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&status()).await, "");
    world.change(|peer| peer.state = ConnectionState::Revoked);
    let error = world.side.send(&world.side.sign(&spawn())).await;
    assert!(error.is_err());
    let again = world.side.send(&world.side.sign(&spawn())).await;
    assert!(matches!(again, Err(LinkError::Connect { .. })));
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn revoking_and_suspending_cut_a_stream_that_is_open() {
    for state in [ConnectionState::Revoked, ConnectionState::Suspended] {
        let world = World::new().await;
        let command = world.side.sign(&pb::WatchRequest::default());
        let opened = world.side.link.open(command.envelope().clone()).await;
        let (_, mut frames) = opened.unwrap();
        assert_eq!(&frames.next().await.unwrap().unwrap().data[..], b"one");
        assert_eq!(&frames.next().await.unwrap().unwrap().data[..], b"two");
        world.change(|peer| peer.state = state);
        let end = tokio::time::timeout(Duration::from_secs(10), frames.next()).await;
        assert!(end.unwrap().unwrap().is_err(), "{state}");
        assert!(frames.next().await.is_none());
    }
}

#[tokio::test]
async fn removing_a_connection_cuts_it_like_revoking() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&status()).await, "");
    world.running.connections.replace(Vec::new());
    let command = world.side.sign(&spawn());
    assert!(world.side.send(&command).await.is_err());
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn a_hub_does_not_dial_a_connection_that_it_has_ended() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&status()).await, "");
    let mut peer = world.side.peer.clone();
    peer.state = ConnectionState::Revoked;
    world.side.connections.replace(vec![peer]);
    let error = world.side.send(&world.side.sign(&status())).await;
    assert!(matches!(error, Err(LinkError::Connect { .. })));
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn a_spoke_that_is_down_is_told_apart_and_found_again() {
    let world = World::new().await;
    world.running.shutdown.cancel();
    eventually("the server has stopped", || {
        world.running.server.is_finished()
    })
    .await;
    let error = world.side.send(&world.side.sign(&status())).await;
    assert!(matches!(error, Err(LinkError::Connect { .. })), "{error:?}");
}

#[tokio::test]
async fn commands_above_the_rate_are_turned_away_with_a_hint() {
    let world = World::with(|peer| peer.grant.commands_per_minute = 2).await;
    assert_eq!(world.side.ask(&status()).await, "");
    assert_eq!(world.side.ask(&status()).await, "");
    let refusal = world
        .rejected(world.side.sign(&status()).envelope().clone())
        .await;
    assert_eq!(refusal.reason.as_str(), "RATE_LIMITED");
    assert!(refusal.retry_after.is_some());
    assert_eq!(world.executed(), 2);
}

#[tokio::test]
async fn a_touch_is_heard_without_a_command_and_silence_is_measured() {
    let world = World::new().await;
    let live = || world.running.connections.list()[0].clone();
    let a_while = Duration::from_secs(1);
    tokio::time::sleep(a_while).await;
    assert!(live().contact().silence() >= a_while, "nobody spoke");
    world.side.link.touch().await.unwrap();
    assert!(live().contact().silence() < a_while, "a touch is heard");
    assert_eq!(world.executed(), 0);
    tokio::time::sleep(a_while).await;
    // A change of the table that is about something else forgets nothing.
    world.change(|peer| peer.grant.max_agents += 1);
    assert!(live().contact().silence() >= a_while);
    world.change(|peer| peer.state = ConnectionState::Revoked);
    assert!(world.side.link.touch().await.is_err());
}
