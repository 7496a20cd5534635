//! What operators read: every proven command, with its outcome.

use crate::world::{TestClock, World, agent, alias, eventually, kill, spawn, status};
use mosaic_common::envelope::seal;
use mosaic_common::keys::SigningKey;
use mosaic_common::proto::federation::v1::{Command, CommandKind, ListCommandsRequest};
use mosaic_common::{Clock, CommandId, Reason, Refusal};
use mosaic_federation::record::{CommandRecord, Outcome, Page, Records};
use mosaic_store::MemoryStore;
use prost::Message;
use std::sync::Arc;

fn ask(agent_id: &str, page_size: u32, page_token: &str) -> ListCommandsRequest {
    ListCommandsRequest {
        agent_id: agent_id.into(),
        page_size,
        page_token: page_token.into(),
    }
}

async fn all(world: &World) -> Page {
    let records = Records::new(world.store.clone(), world.clock.clone());
    records.list(&ask("", 0, "")).await.unwrap()
}

#[tokio::test]
async fn a_spoke_records_what_became_of_each_command() {
    let world = World::new().await;
    let mut elsewhere = spawn();
    elsewhere.spec.as_mut().unwrap().repository = "other".into();
    world.side.ask(&spawn()).await;
    world.side.ask(&elsewhere).await;
    world.side.ask(&status()).await;
    // A read is recorded beside its answer.
    while all(&world).await.records.len() < 3 {
        tokio::task::yield_now().await;
    }
    let broken = Refusal::new(Reason::Internal, "something broke");
    *world.running.recorder.refuse.lock().unwrap() = Some(broken);
    world.side.ask(&kill()).await;
    let page = all(&world).await;
    let lines: Vec<_> = page
        .records
        .iter()
        .map(|r| (r.kind.as_str(), r.outcome, r.reason.as_str()))
        .collect();
    let expected = [
        ("kill", Outcome::Failed, "INTERNAL"),
        ("status", Outcome::Delivered, ""),
        ("spawn", Outcome::Refused, "GRANT_REPOSITORY_DENIED"),
        ("spawn", Outcome::Delivered, ""),
    ];
    assert_eq!(lines, expected);
    let first = page.records.last().unwrap();
    assert_eq!(first.on_behalf_of, "ada");
    assert_eq!(first.connection, Some(alias("berlin-1")));
    assert!(first.agent_id.is_some() && first.ended.is_some());
}

#[tokio::test]
async fn a_command_is_on_record_before_it_is_done() {
    let world = World::new().await;
    world.running.recorder.gate.forget_permits(usize::MAX);
    let command = world.side.sign(&spawn());
    tokio::select! {
        _ = world.side.send(&command) => panic!("it cannot be finished"),
        () = eventually("it is being executed", || world.executed() == 1) => {}
    }
    let page = all(&world).await;
    assert_eq!(page.records[0].command_id, command.id());
    assert_eq!(page.records[0].outcome, Outcome::Pending);
}

#[tokio::test]
async fn nobody_who_is_not_proven_makes_the_store_grow() {
    let world = World::new().await;
    let sealed = world.side.sign(&spawn());
    let command = Command::decode(sealed.envelope().payload.clone()).unwrap();
    for _ in 0..20 {
        let forged = seal(&command, &SigningKey::generate().0);
        world.rejected(forged).await;
    }
    assert_eq!(all(&world).await.records, []);
}

#[tokio::test]
async fn a_conflict_leaves_the_record_of_the_first_command_alone() {
    let world = World::new().await;
    let command = world.side.sign(&spawn());
    world.side.send(&command).await.unwrap();
    let origin = mosaic_federation::issuer::Origin::default();
    let other = world
        .side
        .issuer
        .command(&world.side.peer, command.id(), &kill(), &origin);
    world.side.send(&other).await.unwrap();
    let page = all(&world).await;
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].outcome, Outcome::Delivered);
}

fn records() -> (Records, Arc<TestClock>) {
    let clock = TestClock::new();
    (
        Records::new(Arc::<MemoryStore>::default(), clock.clone()),
        clock,
    )
}

#[tokio::test]
async fn pages_are_newest_first_and_lose_nothing() {
    let (records, clock) = records();
    let mut wanted = Vec::new();
    for number in 0..7 {
        let id = CommandId::random();
        let mut record = CommandRecord::new(id, CommandKind::Kill, None, clock.now());
        record.agent_id = (number % 2 == 0).then(|| agent().parse().unwrap());
        wanted.insert(0, records.begin(record).await.unwrap().command_id);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = records.list(&ask("", 3, &token)).await.unwrap();
        assert!(page.records.len() <= 3);
        seen.extend(page.records.iter().map(|record| record.command_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, wanted);
    for bad in [ask("../x", 0, ""), ask("", 0, "x"), ask("", 0, "-1")] {
        let refusal = records.list(&bad).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidRequest);
    }
}

#[tokio::test]
async fn what_was_delivered_once_stays_delivered() {
    let (records, clock) = records();
    let id = CommandId::random();
    let record = || CommandRecord::new(id, CommandKind::Spawn, Some(alias("c")), clock.now());
    let begun = records.begin(record()).await.unwrap();
    records.finish(begun, Ok(())).await.unwrap();
    let retried = records.begin(record()).await.unwrap();
    assert_eq!(retried.outcome, Outcome::Delivered);
    let lost = Refusal::new(Reason::SiteUnreachable, "no answer");
    let after = records.finish(retried, Err(&lost)).await.unwrap();
    assert_eq!(after.outcome, Outcome::Delivered);
    clock.advance(10);
    assert_eq!(records.forget(clock.now()).await.unwrap(), 1);
    assert_eq!(
        records.list(&ask("", 0, "")).await.unwrap(),
        Page::default()
    );
}
