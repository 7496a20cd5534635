//! A hub that dies at any step: when it is back, every command has its outcome and every stream
//! goes on.

#![allow(clippy::disallowed_methods)] // it watches real processes, in real time

use crate::world::{World, end, until};
use std::time::{Duration, Instant};

const RUN: &str = "echo started; exec sleep 1000";

/// In which everything must be right again.
const SOON: Duration = Duration::from_secs(30);

/// Every step between a spawn and its answer that changes something, and whether what was asked
/// is on record there.
const SPAWN: [(&str, bool); 5] = [
    ("hub.index_claimed", false),
    ("hub.command_claimed", false),
    ("hub.record_begun", true),
    ("hub.answered", true),
    ("hub.record_finished", true),
];

fn settled(world: &World, command: &str) {
    let begun = Instant::now();
    until("the command to be settled", || {
        world
            .record(command)
            .is_some_and(|record| record["outcome"] == "delivered")
    });
    assert!(begun.elapsed() < SOON);
}

/// Gives a command to a hub that dies of it, and starts the hub again.
fn die_of(world: &mut World, failpoint: &str, arguments: &[&str], next: Option<&str>) {
    world.restart_hub("hub", Some(failpoint));
    let client = world.begin(arguments, "client");
    world.ended("hub");
    end(client);
    assert!(
        world
            .log("hub")
            .contains(&format!("failpoint {failpoint} reached"))
    );
    world.restart_hub("hub", next);
}

#[test]
fn a_spawn_is_done_once_wherever_the_hub_dies() {
    let mut world = World::of(&["alpha"]);
    for (number, (failpoint, is_on_record)) in SPAWN.iter().enumerate() {
        let command = format!("{number:032x}");
        let spawn = ["spawn", "--repo", "demo", "--command-id", &command, "true"];
        die_of(&mut world, failpoint, &spawn, None);
        if *is_on_record {
            settled(&world, &command);
        } else {
            assert_eq!(world.record(&command), None, "{failpoint}");
        }
        assert_eq!(world.agents("alpha"), number + usize::from(*is_on_record));
        let again = world.hub(&spawn);
        assert_eq!(again.code, 0, "{failpoint}: {}", again.err);
        assert_eq!(world.agents("alpha"), number + 1, "{failpoint}");
        let agent = again.json()["agentId"].as_str().unwrap().to_owned();
        assert_eq!(world.hub(&["status", &agent]).code, 0, "{failpoint}");
    }
}

#[test]
fn a_kill_is_done_wherever_the_hub_dies() {
    let mut world = World::of(&["alpha"]);
    for (failpoint, is_on_record) in [
        ("hub.kill_indexed", false),
        ("hub.record_begun", true),
        ("hub.answered", true),
        ("hub.record_finished", true),
    ] {
        let agent = world.spawn("alpha", RUN);
        world.until_it_says("alpha", &agent, "started");
        die_of(&mut world, failpoint, &["kill", &agent], None);
        if !is_on_record {
            assert_eq!(world.hub(&["status", &agent]).json()["state"], "running");
            assert_eq!(world.hub(&["kill", &agent]).json()["outcome"], "killed");
        }
        world.until_state("alpha", &agent, "killed");
        until("no command to be open", || {
            let told = world.hub(&["commands"]).lines();
            told.iter().all(|record| record["outcome"] == "delivered")
        });
    }
    assert_eq!(world.inventory("alpha")["processes"], 0);
}

#[test]
fn a_hub_that_dies_while_it_settles_settles_the_same_again() {
    let mut world = World::of(&["alpha"]);
    let points = [
        "hub.settle_began",
        "hub.settle_heard",
        "hub.settle_finished",
    ];
    for (number, failpoint) in points.into_iter().enumerate() {
        let command = format!("{number:032x}");
        let spawn = ["spawn", "--repo", "demo", "--command-id", &command, "true"];
        die_of(&mut world, "hub.record_begun", &spawn, Some(failpoint));
        world.ended("hub");
        assert!(
            world
                .log("hub")
                .contains(&format!("failpoint {failpoint} reached"))
        );
        world.restart_hub("hub", None);
        settled(&world, &command);
        assert_eq!(world.agents("alpha"), number + 1, "{failpoint}");
    }
}

#[test]
fn a_watch_sees_every_event_once_through_crashes_of_hub_and_spoke() {
    let mut world = World::of(&["alpha"]);
    let watch = world.begin(&["watch", "--site", "alpha"], "seen");
    for round in 0..3 {
        let agent = world.spawn("alpha", "true");
        world.until_state("alpha", &agent, "completed");
        if round == 1 {
            world.signal("alpha", "-KILL");
            world.ended("alpha");
            world.start_spoke("alpha");
        } else {
            world.restart_hub("hub", None);
        }
    }
    let agent = world.spawn("alpha", "true");
    world.until_state("alpha", &agent, "completed");
    let wanted = world.all_sequences("alpha");
    until("every event to be seen", || {
        world.sequences("seen").len() >= wanted.len()
    });
    assert_eq!(world.sequences("seen"), wanted);
    end(watch);
}

#[test]
fn what_a_site_no_longer_keeps_is_told_as_a_gap_to_who_comes_back_with_a_cursor() {
    let mut world = World::of(&["alpha"]);
    let agent = world.spawn("alpha", "true");
    world.until_state("alpha", &agent, "completed");
    let cursor = world.all_sequences("alpha")[1];
    world.signal("alpha", "-KILL");
    world.ended("alpha");
    world.add_to_config("alpha", "[retention]\nevents = 3\n");
    world.start_spoke("alpha");
    world.restart_hub("hub", None);
    until("old events to be forgotten", || {
        world.all_sequences("alpha")[0] > cursor + 1
    });
    let after = cursor.to_string();
    let told = world.hub(&["watch", "--site", "alpha", "--no-follow", "--after", &after]);
    let told = told.lines();
    let (gap, events) = told.split_first().unwrap();
    let kept = world.all_sequences("alpha");
    assert_eq!(gap["type"], "gap");
    assert_eq!(gap["first"], cursor + 1);
    assert_eq!(gap["last"], kept[0] - 1);
    let seen: Vec<_> = events
        .iter()
        .map(|event| event["sequence"].as_u64())
        .collect();
    assert_eq!(seen, kept.into_iter().map(Some).collect::<Vec<_>>());
}

#[test]
fn an_agent_is_ended_by_its_limit_while_the_hub_is_gone_and_the_hub_agrees_afterwards() {
    let mut world = World::of(&["alpha"]);
    let spawned = world.hub(&["spawn", "--repo", "demo", "--wall-clock", "3s", RUN]);
    assert_eq!(spawned.code, 0, "{}", spawned.err);
    let agent = spawned.json()["agentId"].as_str().unwrap().to_owned();
    world.signal("hub", "-KILL");
    world.ended("hub");
    let there = world.until_state("alpha", &agent, "failed");
    assert_eq!(there["cause"]["kind"], "timed_out", "{there}");
    world.restart_hub("hub", None);
    let here = world.hub(&["status", &agent]).json();
    assert_eq!(
        (&here["state"], &here["cause"]),
        (&there["state"], &there["cause"])
    );
    let listed = world.hub(&["ps", "--all"]).lines();
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &there["state"]));
    let seen = world
        .hub(&["watch", "--site", "alpha", "--no-follow"])
        .lines();
    let seen: Vec<_> = seen
        .iter()
        .filter_map(|event| event["sequence"].as_u64())
        .collect();
    assert_eq!(seen, world.all_sequences("alpha"));
    assert_eq!(world.inventory("alpha")["processes"], 0);
}
