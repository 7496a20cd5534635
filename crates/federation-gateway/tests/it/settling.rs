//! Commands without an answer: a hub finds out what became of them, also those of an earlier life.

use crate::spoke::Mood;
use crate::world::{PATIENCE, World, reason, spawn};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{CommandKind, CommandOutcome, CommandRecord};
use mosaic_common::{CommandId, Reason};
use std::time::Duration;

/// The newest record of this kind, once it is as wanted.
async fn record(world: &World, kind: CommandKind, wanted: CommandOutcome) -> CommandRecord {
    let found = async {
        loop {
            let commands = world.commands().await;
            let found = commands.into_iter().find(|record| record.kind() == kind);
            if let Some(record) = found.filter(|record| record.outcome() == wanted) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

#[tokio::test]
async fn what_an_earlier_life_left_open_is_sent_again_and_is_one_agent() {
    let world = World::new(&["a"]).await;
    world.spoke("a").feel(Mood::Mute);
    let lost = world.admin().await.spawn(spawn("a")).await;
    assert_eq!(reason(lost), Reason::SiteUnreachable);
    world.spoke("a").feel(Mood::Gone);
    let world = world.restarted().await;
    let open = record(&world, CommandKind::Spawn, CommandOutcome::Pending).await;
    assert_eq!(open.reason_code, "SITE_UNREACHABLE");
    let sent = world.spoke("a").received();
    world.spoke("a").feel(Mood::Well);
    record(&world, CommandKind::Spawn, CommandOutcome::Delivered).await;
    let again = world.spoke("a").received();
    assert!(again.len() > sent.len());
    assert!(
        again.iter().all(|command| *command == sent[0]),
        "the very same bytes"
    );
    assert_eq!(world.spoke("a").agents(), 1);
}

#[tokio::test]
async fn what_was_refused_in_the_end_is_refused_and_stays_so() {
    let world = World::new(&["a"]).await;
    world.spoke("a").feel(Mood::MuteTo(Reason::SpawnsLatched));
    let lost = world.admin().await.spawn(spawn("a")).await;
    assert_eq!(reason(lost), Reason::SiteUnreachable);
    world.spoke("a").feel(Mood::Refusing(Reason::SpawnsLatched));
    let told = record(&world, CommandKind::Spawn, CommandOutcome::Refused).await;
    assert_eq!(told.reason_code, "SPAWNS_LATCHED");
    world.spoke("a").feel(Mood::Well);
    let before = world.spoke("a").received().len();
    let world = world.restarted().await;
    tokio::time::sleep(Duration::from_secs(1)).await; // a settled command would be sent by now
    assert_eq!(world.spoke("a").received().len(), before);
    record(&world, CommandKind::Spawn, CommandOutcome::Refused).await;
}

#[tokio::test]
async fn a_dead_site_holds_up_no_other_sites_commands() {
    let world = World::new(&["a", "b"]).await;
    world.spoke("a").feel(Mood::Mute);
    world.spoke("b").feel(Mood::Mute);
    let request = pb::KillAllRequest {
        command_id: CommandId::random().to_string(),
        ..Default::default()
    };
    let told = world.admin().await.kill_all(request).await.unwrap();
    assert_eq!(told.into_inner().unreachable.len(), 2);
    world.spoke("b").feel(Mood::Well);
    let settled = async {
        loop {
            let commands = world.commands().await;
            let all = commands
                .iter()
                .filter(|command| command.kind() == CommandKind::KillAll);
            let outcomes: Vec<_> = all.map(|c| (c.site.as_str(), c.outcome())).collect();
            assert_eq!(outcomes.len(), 2);
            if outcomes.contains(&("b", CommandOutcome::Delivered)) {
                assert!(
                    outcomes.contains(&("a", CommandOutcome::Pending)),
                    "{outcomes:?}"
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
}
