//! Hub and spoke over a network that breaks: no call hangs, every refusal has its reason, nothing is
//! done twice, and afterwards both agree.

#![allow(clippy::disallowed_methods)] // it watches real processes, in real time

use crate::world::{World, end, until};
use mosaic_testkit::proxy::{Fault, FaultProxy};
use std::time::{Duration, Instant};

const RUN: &str = "echo started; exec sleep 1000";

/// In which both must agree after the network is well.
const SOON: Duration = Duration::from_secs(30);

/// Longest that a call may take: the hub's five seconds for a site, or the grace of a kill and the
/// thirty seconds for its proof on top, and the client's own repeats.
const DEADLINE: Duration = Duration::from_secs(60);

async fn nothing_hangs_and_afterwards_all_agree(fault: Fault) {
    let mut world = World::of(&["alpha"]);
    let proxy = FaultProxy::to(world.spoke_address("alpha")).await;
    world.detour("alpha", proxy.address());
    let watch = world.begin(&["watch", "--site", "alpha"], "seen");
    // Of its own: a test beside this one looks for the processes of its agents by their ids.
    let command = &mosaic_common::CommandId::random().to_string();
    let old = world.spawn("alpha", RUN);
    world.until_it_says("alpha", &old, "started");
    let spawn = [
        "spawn",
        "--site",
        "alpha",
        "--repo",
        "demo",
        "--command-id",
        command,
        RUN,
    ];
    proxy.set(fault);
    for call in [&spawn[..], &["status", &old], &["kill", &old]] {
        let begun = Instant::now();
        let said = world.hub(call);
        assert!(begun.elapsed() < DEADLINE, "{fault:?} {call:?}");
        let is_told = said.code == 0 || said.reason() == "SITE_UNREACHABLE";
        assert!(is_told, "{fault:?} {call:?}: {}", said.err);
    }
    proxy.set(Fault::Pass);
    proxy.let_go();
    let healed = Instant::now();
    let mut again = world.hub(&spawn);
    until("the repeat to be answered", || {
        again = world.hub(&spawn);
        again.code == 0
    });
    let agent = again.json()["agentId"].as_str().unwrap().to_owned();
    until("no command to be open", || {
        let told = world.hub(&["commands"]).lines();
        told.iter().all(|record| record["outcome"] != "pending")
    });
    assert!(healed.elapsed() < SOON, "{fault:?}: {:?}", healed.elapsed());
    assert_eq!(world.agents("alpha"), 2, "{fault:?}");
    world.until_it_says("alpha", &agent, "started");
    for agent in [&old, &agent] {
        let killed = world.hub(&["kill", agent]);
        assert_eq!(killed.code, 0, "{fault:?}: {}", killed.err);
        let here = world.hub(&["status", agent]).json();
        let there = world.until_state("alpha", agent, "killed");
        assert_eq!(here["state"], there["state"], "{fault:?}");
    }
    assert_eq!(world.inventory("alpha")["processes"], 0, "{fault:?}");
    let wanted = world.all_sequences("alpha");
    until("every event to be seen", || {
        world.sequences("seen").len() >= wanted.len()
    });
    assert_eq!(world.sequences("seen"), wanted);
    end(watch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_is_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_swallow_everything_are_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::HalfOpen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_resets_is_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::Reset).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_single_bytes_is_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::ByteByByte).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_is_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::Delay(Duration::from_millis(200))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_overtaken_are_survived() {
    nothing_hangs_and_afterwards_all_agree(Fault::Hold).await;
}
