//! Two hubs and two spokes: nobody's command or receipt is good for anybody else.

use crate::world::{HubSide, Party, Running, TestClock, alias, serve, spawn};
use mosaic_common::Reason;
use mosaic_federation::ledger::Memory;
use mosaic_federation::link::{Link, LinkError};
use mosaic_store::MemoryStore;
use std::sync::Arc;

struct Site {
    party: Party,
    running: Running,
}

async fn site(name: &str, hubs: &[&Party], clock: &Arc<TestClock>) -> Site {
    let party = Party::new(name);
    let peers = hubs.iter().map(|hub| {
        let id = format!("{}-{name}", hub.identity.id());
        hub.as_hub(&id)
    });
    let store = Arc::<MemoryStore>::default();
    let running = serve(&party, peers.collect(), store, clock.clone(), Memory::New).await;
    Site { party, running }
}

fn side(hub: &Party, site: &Site, clock: &Arc<TestClock>) -> HubSide {
    let id = format!("{}-{}", hub.identity.id(), site.party.identity.id());
    let peer = site.party.as_spoke(&id, site.running.address);
    HubSide::new(hub, peer, clock.clone())
}

#[tokio::test]
async fn two_hubs_and_two_spokes_never_accept_each_others_commands() {
    let clock = TestClock::new();
    let hubs = [Party::new("hub-a"), Party::new("hub-b")];
    let both = [&hubs[0], &hubs[1]];
    // Every hub speaks to both spokes with the same keys: only what is signed tells them apart.
    let sites = [
        site("north", &both, &clock).await,
        site("south", &both, &clock).await,
    ];
    let sides: Vec<HubSide> = hubs
        .iter()
        .flat_map(|hub| sites.iter().map(|site| side(hub, site, &clock)))
        .collect();
    for (signer, from) in sides.iter().enumerate() {
        for (carrier, over) in sides.iter().enumerate() {
            let sealed = from.sign(&spawn());
            let answer = over.link.execute(sealed.envelope().clone()).await;
            if signer == carrier {
                let receipt = answer.unwrap();
                from.checker.check(&from.peer, &sealed, &receipt).unwrap();
            } else {
                assert!(
                    matches!(&answer, Err(LinkError::Rejected(refusal))
                        if refusal.reason == Reason::CommandRejected),
                    "{signer} over {carrier}: {answer:?}"
                );
            }
        }
    }
    for site in &sites {
        assert_eq!(site.running.recorder.count(), 2);
    }
}

#[tokio::test]
async fn a_hub_with_the_keys_of_one_connection_is_nobody_at_the_other_spoke() {
    let clock = TestClock::new();
    let hubs = [Party::new("hub-a"), Party::new("hub-b")];
    let sites = [
        site("north", &[&hubs[0]], &clock).await,
        site("south", &[&hubs[1]], &clock).await,
    ];
    let wrong = side(&hubs[0], &sites[1], &clock);
    let error = wrong.send(&wrong.sign(&spawn())).await.unwrap_err();
    assert!(matches!(error, LinkError::Connect { .. }), "{error}");
    assert_eq!(sites[1].running.recorder.count(), 0);
    assert!(
        sites[1]
            .running
            .connections
            .by_id(&alias("hub-a-south"))
            .is_none()
    );
}

#[tokio::test]
async fn the_same_command_id_from_two_hubs_is_two_commands() {
    let clock = TestClock::new();
    let hubs = [Party::new("hub-a"), Party::new("hub-b")];
    let site = site("north", &[&hubs[0], &hubs[1]], &clock).await;
    let sides = [side(&hubs[0], &site, &clock), side(&hubs[1], &site, &clock)];
    let id = mosaic_common::CommandId::random();
    for side in &sides {
        let origin = mosaic_federation::issuer::Origin::default();
        let sealed = side.issuer.command(&side.peer, id, &spawn(), &origin);
        assert_eq!(side.send(&sealed).await.unwrap().reason_code, "");
    }
    assert_eq!(site.running.recorder.count(), 2);
}
