//! Step 8: whether a command is of now. The sender is proven, so each refusal is signed.

use crate::world::{HubSide, TestClock, World, serve, spawn, status};
use jiff::SignedDuration;
use mosaic_common::envelope::seal;
use mosaic_common::proto::federation::v1::{Command, Envelope};
use mosaic_common::proto::timestamp;
use mosaic_common::{Clock, CommandId};
use mosaic_federation::ledger::Memory;
use mosaic_federation::link::Link;
use mosaic_store::MemoryStore;
use prost::Message;
use std::sync::Arc;

/// The reason a spoke gives for a command with these times, relative to its clock.
async fn reason(world: &World, issued: i64, expires: i64) -> String {
    let sealed = world.side.sign(&spawn());
    let mut command = Command::decode(sealed.envelope().payload.clone()).unwrap();
    let at = |seconds| timestamp(world.clock.now() + SignedDuration::from_secs(seconds));
    command.issued_at = Some(at(issued));
    command.expires_at = Some(at(expires));
    let envelope: Envelope = seal(&command, &world.hub.signing_key());
    let receipt = world.side.link.execute(envelope).await.unwrap();
    let receipt = world
        .side
        .checker
        .check(&world.side.peer, &sealed, &receipt);
    receipt.unwrap().reason_code
}

#[tokio::test]
async fn expired_future_and_long_lived_commands_get_signed_refusals() {
    let world = World::new().await;
    assert_eq!(reason(&world, -60, 0).await, "COMMAND_EXPIRED");
    assert_eq!(reason(&world, 31, 60).await, "COMMAND_FROM_FUTURE");
    assert_eq!(reason(&world, 0, 301).await, "COMMAND_LIFETIME_TOO_LONG");
    assert_eq!(world.executed(), 0);
    assert_eq!(reason(&world, 30, 330).await, "");
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn a_command_held_back_until_it_expired_is_refused_and_can_be_signed_again() {
    let world = World::new().await;
    let command = world.side.sign(&spawn());
    world.clock.advance(61);
    let late = world.side.send(&command).await.unwrap();
    assert_eq!(late.reason_code, "COMMAND_EXPIRED");
    let renewed = world.side.issuer.renew(&command);
    assert_eq!(renewed.id(), command.id());
    let receipt = world.side.send(&renewed).await.unwrap();
    assert_eq!((receipt.reason_code.as_str(), world.executed()), ("", 1));
}

#[tokio::test]
async fn a_store_lost_under_an_old_identity_refuses_what_it_may_have_forgotten() {
    let world = World::new().await;
    let command = world.side.sign(&spawn());
    assert_eq!(world.side.send(&command).await.unwrap().reason_code, "");
    let lost = Arc::<MemoryStore>::default();
    let hubs = vec![world.hub.as_hub("berlin-1")];
    let clock: Arc<TestClock> = world.clock.clone();
    let second = serve(
        &world.spoke,
        hubs,
        lost.clone(),
        clock.clone(),
        Memory::Kept,
    )
    .await;
    let peer = world.spoke.as_spoke("berlin-1", second.address);
    let side = HubSide::new(&world.hub, peer, clock.clone());
    let replayed = side.send(&command).await.unwrap();
    assert_eq!(replayed.reason_code, "COMMAND_BEFORE_FENCE");
    assert_eq!(side.ask(&status()).await, "COMMAND_BEFORE_FENCE");
    clock.advance(31);
    assert_eq!(side.ask(&status()).await, "");
    assert_eq!(second.recorder.count(), 1);
}

#[tokio::test]
async fn the_fence_is_kept_over_a_restart_and_raised_after_a_restore() {
    use mosaic_federation::ledger::Ledger;
    let (store, clock) = (Arc::<MemoryStore>::default(), TestClock::new());
    let open = |memory| Ledger::open(store.clone(), clock.clone(), memory);
    let first = open(Memory::Kept).await.unwrap().fence();
    assert_eq!(first, clock.now() + SignedDuration::from_secs(30));
    clock.advance(1000);
    assert_eq!(open(Memory::Kept).await.unwrap().fence(), first);
    let restored = open(Memory::Restored).await.unwrap().fence();
    assert_eq!(restored, clock.now() + SignedDuration::from_secs(30));
    let fresh = Ledger::open(Arc::<MemoryStore>::default(), clock.clone(), Memory::New);
    assert_eq!(fresh.await.unwrap().fence(), jiff::Timestamp::UNIX_EPOCH);
    assert_ne!(CommandId::random(), CommandId::random());
}
