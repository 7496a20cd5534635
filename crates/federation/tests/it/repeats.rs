//! Steps 10 to 12: a command has its effect once, and one answer.

use crate::world::{HubSide, World, bytes, eventually, kill, serve, spawn, status};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{CommandId, Reason, Refusal};
use mosaic_federation::issuer::Origin;
use mosaic_federation::kind::Request;
use mosaic_federation::ledger::Memory;
use mosaic_federation::link::Link;
use mosaic_store::EmbeddedStore;
use std::sync::Arc;
use std::time::Duration;

async fn reason_of<R: Request>(side: &HubSide, id: CommandId, request: &R) -> String {
    let sealed = side
        .issuer
        .command(&side.peer, id, request, &Origin::default());
    side.send(&sealed).await.unwrap().reason_code
}

#[tokio::test]
async fn a_retry_gives_the_same_receipt_bytes_and_no_second_effect() {
    let world = World::new().await;
    let command = world.side.sign(&spawn());
    let link = &world.side.link;
    let first = link.execute(command.envelope().clone()).await.unwrap();
    for _ in 0..3 {
        let again = link.execute(command.envelope().clone()).await.unwrap();
        assert_eq!(bytes(&again), bytes(&first));
    }
    let renewed = world.side.issuer.renew(&command);
    let again = link.execute(renewed.envelope().clone()).await.unwrap();
    assert_eq!(bytes(&again), bytes(&first));
    assert_eq!(world.executed(), 1);
    let (peer, checker) = (&world.side.peer, &world.side.checker);
    checker.check(peer, &command, &first).unwrap();
    checker.check(peer, &command, &again).unwrap();
}

#[tokio::test]
async fn a_repeated_read_gives_the_same_receipt_bytes_while_it_is_remembered() {
    let world = World::new().await;
    let command = world.side.sign(&status());
    let link = &world.side.link;
    let first = link.execute(command.envelope().clone()).await.unwrap();
    let again = link.execute(command.envelope().clone()).await.unwrap();
    assert_eq!(bytes(&again), bytes(&first));
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn another_request_under_the_same_id_is_a_conflict() {
    let world = World::new().await;
    let side = &world.side;
    let (acted, read) = (CommandId::random(), CommandId::random());
    assert_eq!(reason_of(side, acted, &spawn()).await, "");
    assert_eq!(reason_of(side, acted, &kill()).await, "COMMAND_CONFLICT");
    assert_eq!(reason_of(side, read, &status()).await, "");
    assert_eq!(reason_of(side, read, &status()).await, "COMMAND_CONFLICT");
    assert_eq!(world.executed(), 2);
}

#[tokio::test]
async fn two_kinds_with_the_same_empty_body_are_not_the_same_command() {
    let world = World::new().await;
    let id = CommandId::random();
    let kill_all = pb::KillAllRequest::default();
    let release = pb::ReleaseRequest::default();
    assert_eq!(reason_of(&world.side, id, &kill_all).await, "");
    let answer = reason_of(&world.side, id, &release).await;
    assert_eq!((answer.as_str(), world.executed()), ("COMMAND_CONFLICT", 1));
}

#[tokio::test]
async fn concurrent_duplicates_execute_once() {
    let world = World::new().await;
    let recorder = &world.running.recorder;
    recorder.gate.forget_permits(usize::MAX);
    let command = world.side.sign(&spawn());
    let first = world.side.send(&command);
    let others = async {
        eventually("the first is being executed", || world.executed() == 1).await;
        for _ in 0..5 {
            let receipt = world.side.send(&command).await.unwrap();
            assert_eq!(receipt.reason_code, "COMMAND_IN_PROGRESS");
            assert!(receipt.retry_after_ms > 0);
        }
        recorder.gate.add_permits(100);
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.unwrap().reason_code, "");
    assert_eq!(world.executed(), 1);
}

#[tokio::test]
async fn a_hub_that_hangs_up_does_not_stop_what_it_asked_for() {
    let world = World::new().await;
    world.running.recorder.gate.forget_permits(usize::MAX);
    let command = world.side.sign(&spawn());
    let hung_up = tokio::select! {
        _ = world.side.send(&command) => false,
        () = eventually("it is being executed", || world.executed() == 1) => true,
    };
    assert!(hung_up);
    world.running.recorder.gate.add_permits(100);
    for _ in 0..1000 {
        let receipt = world.side.send(&command).await.unwrap();
        if receipt.reason_code.is_empty() {
            assert_eq!(world.executed(), 1);
            return;
        }
        assert_eq!(receipt.reason_code, "COMMAND_IN_PROGRESS");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was never finished");
}

#[tokio::test]
async fn a_refusal_with_a_retry_hint_can_be_tried_again_and_another_cannot() {
    let world = World::new().await;
    let refuse = |refusal| *world.running.recorder.refuse.lock().unwrap() = refusal;
    let (busy, over) = (world.side.sign(&spawn()), world.side.sign(&spawn()));
    let full = Refusal::new(Reason::Overloaded, "the queue is full");
    refuse(Some(full.retry_after(Duration::from_secs(2))));
    let receipt = world.side.send(&busy).await.unwrap();
    assert_eq!(receipt.reason_code, "OVERLOADED");
    assert_eq!(receipt.retry_after_ms, 2000);
    refuse(Some(Refusal::new(Reason::AgentBarred, "killed before")));
    let receipt = world.side.send(&over).await.unwrap();
    assert_eq!(receipt.reason_code, "AGENT_BARRED");
    refuse(None);
    assert_eq!(world.side.send(&busy).await.unwrap().reason_code, "");
    let receipt = world.side.send(&over).await.unwrap();
    assert_eq!(receipt.reason_code, "AGENT_BARRED");
    assert_eq!(world.executed(), 3);
}

#[tokio::test]
async fn claims_outlive_the_process_and_what_was_cut_off_is_done_again() {
    let world = World::new().await;
    let (done, cut_off) = (world.side.sign(&spawn()), world.side.sign(&spawn()));
    let link = &world.side.link;
    let first = link.execute(done.envelope().clone()).await.unwrap();
    world.running.recorder.gate.forget_permits(usize::MAX);
    tokio::select! {
        _ = world.side.send(&cut_off) => panic!("it cannot be finished"),
        () = eventually("it is being executed", || world.executed() == 2) => {}
    }
    // The first process never comes back to it; the second has the same store.
    let hubs = vec![world.hub.as_hub("berlin-1")];
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let second = serve(&world.spoke, hubs, store, clock.clone(), Memory::Kept).await;
    let peer = world.spoke.as_spoke("berlin-1", second.address);
    let side = HubSide::new(&world.hub, peer, clock);
    let again = side.link.execute(done.envelope().clone()).await.unwrap();
    assert_eq!(bytes(&again), bytes(&first));
    assert_eq!(second.recorder.count(), 0);
    assert_eq!(side.send(&cut_off).await.unwrap().reason_code, "");
    assert_eq!(second.recorder.count(), 1);
}

#[tokio::test]
async fn a_receipt_is_on_the_disk_before_it_is_sent() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let start = || async {
        let store = Arc::new(EmbeddedStore::open(folder.path()).unwrap().0);
        let hubs = vec![world.hub.as_hub("berlin-1")];
        let clock = world.clock.clone();
        let running = serve(&world.spoke, hubs, store, clock.clone(), Memory::New).await;
        let peer = world.spoke.as_spoke("berlin-1", running.address);
        (running, HubSide::new(&world.hub, peer, clock))
    };
    let (first, side) = start().await;
    let command = side.sign(&spawn());
    let envelope = command.envelope();
    let receipt = side.link.execute(envelope.clone()).await.unwrap();
    first.shutdown.cancel();
    first.server.await.unwrap().unwrap();
    drop(first.recorder);
    let (second, side) = start().await;
    let again = side.link.execute(envelope.clone()).await.unwrap();
    assert_eq!(bytes(&again), bytes(&receipt));
    assert_eq!(second.recorder.count(), 0);
    let next = side.send(&side.sign(&spawn())).await.unwrap();
    let before = side.checker.check(&side.peer, &command, &again).unwrap();
    assert!(next.sequence > before.sequence);
}

#[tokio::test]
async fn a_full_store_refuses_spawns_and_still_kills() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&status()).await, "");
    world.store.break_writes();
    assert_eq!(world.side.ask(&spawn()).await, "STORE_UNAVAILABLE");
    assert_eq!(world.side.ask(&kill()).await, "");
    assert_eq!(world.side.ask(&status()).await, "");
    assert_eq!(world.executed(), 3);
}

#[tokio::test]
async fn old_claims_go_unless_their_agent_lives() {
    use mosaic_federation::ledger::Ledger;
    let world = World::new().await;
    let kept = world.side.send(&world.side.sign(&spawn())).await.unwrap();
    world.side.send(&world.side.sign(&spawn())).await.unwrap();
    let ledger = Ledger::open(world.store.clone(), world.clock.clone(), Memory::Kept);
    let ledger = ledger.await.unwrap();
    assert_eq!(ledger.forget(|_| false).await.unwrap(), 0);
    world.clock.advance(25 * 3600);
    let alive = |agent: &mosaic_common::AgentId| agent.as_str() == kept.agent_id;
    assert_eq!(ledger.forget(alive).await.unwrap(), 1);
    assert_eq!(ledger.forget(|_| false).await.unwrap(), 1);
}
