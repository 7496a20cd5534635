//! A real partition: hub and spoke in two networks, and the cable between them cut.

#![allow(clippy::disallowed_methods)] // it watches real processes, in real time

use crate::world::network::Cable;
use crate::world::{World, end, until};
use mosaic_common::CommandId;
use std::time::{Duration, Instant};

/// In which both must agree after the network is well.
const SOON: Duration = Duration::from_secs(30);

/// Longest that a call into the void may take: the hub's five seconds, and the client's repeats.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_site_that_was_cut_off_went_on_and_agrees_with_its_hub_soon_after() {
    let Some(cable) = Cable::lay() else { return };
    let mut world = World::of(&["alpha"]);
    world.move_spoke("alpha", &cable);
    let watch = world.begin(&["watch", "--site", "alpha"], "seen");
    let stays = world.spawn("alpha", "echo started; exec sleep 1000");
    let ends = world.spawn("alpha", "echo started; sleep 4; echo work > work.txt");
    for agent in [&stays, &ends] {
        world.until_it_says("alpha", agent, "started");
    }
    let command = CommandId::random().to_string();
    let spawn = [
        "spawn",
        "--site",
        "alpha",
        "--repo",
        "demo",
        "--command-id",
        &command,
        "true",
    ];

    cable.cut();
    for call in [&["status", &stays][..], &spawn, &["kill", &stays]] {
        let begun = Instant::now();
        let said = world.hub(call);
        assert_eq!(said.reason(), "SITE_UNREACHABLE", "{call:?}");
        assert!(begun.elapsed() < DEADLINE, "{call:?}");
    }
    // The site has its own clock, its own agents and its own operator.
    let ended = world.until_state("alpha", &ends, "completed");
    assert_eq!(ended["cleanup"]["rescue"]["outcome"], "done");

    cable.mend();
    let healed = Instant::now();
    until("the hub to see what ended meanwhile", || {
        world.hub(&["status", &ends]).json()["state"] == "completed"
    });
    until("every command to be settled", || {
        let told = world.hub(&["commands"]).lines();
        told.iter().all(|record| record["outcome"] != "pending")
    });
    assert!(healed.elapsed() < SOON, "{:?}", healed.elapsed());

    // What was asked in the dark is done once, if it is done: a repeat finds it.
    let agent = world.hub(&spawn).json()["agentId"]
        .as_str()
        .unwrap()
        .to_owned();
    world.until_state("alpha", &agent, "completed");
    assert_eq!(world.agents("alpha"), 3);
    assert_eq!(world.hub(&["kill", &stays]).code, 0);
    world.until_state("alpha", &stays, "killed");
    assert_eq!(world.inventory("alpha")["processes"], 0, "no zombie");
    let wanted = world.all_sequences("alpha");
    until("every event to be seen", || {
        world.sequences("seen").len() >= wanted.len()
    });
    assert_eq!(world.sequences("seen"), wanted, "each once, in order");
    end(watch);
}
