//! A real spoke, and agents that would have the whole disk.

use crate::site::{Site, until};
use mosaic_common::agent::wire::parse_cause;
use mosaic_common::agent::{Cause, Outcome};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{Reason, Refusal};
use std::process::Command;

const PROCESS: &str = "sandboxes = ['process']\n";

fn on_web(task: &str) -> pb::AgentSpec {
    pb::AgentSpec {
        repository: "web".into(),
        task: task.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_agent_above_its_part_of_the_disk_is_ended_and_its_work_is_kept() {
    let limits = "[limits]\ndisk_bytes = 33554432\n";
    let mut site = Site::start_with(PROCESS, limits, &[]).await;
    let greedy = "echo mine > mine; head -c 80000000 /dev/zero > ../home/big; sleep 600";
    let greedy = site.spawn_spec(on_web(greedy)).await;
    // As long as 100 GiB, and nearly nothing on the disk.
    let sparse = "truncate -s 100G hole; sleep 3; rm hole; echo mine > mine";
    let sparse = site.spawn_spec(on_web(sparse)).await;
    assert_eq!(site.ended(&greedy).await, pb::AgentState::Failed);
    let cause = site.agent(&greedy).await.cause.unwrap();
    let limit_bytes = 33_554_432;
    assert_eq!(parse_cause(&cause), Some(Cause::OutOfDisk { limit_bytes }));
    assert_eq!(site.ended(&sparse).await, pb::AgentState::Completed);
    let results = site.data().join("results/web.git");
    for agent in [&greedy, &sparse] {
        let kept = Command::new("git")
            .arg("--git-dir")
            .arg(&results)
            .args(["show", &format!("refs/mosaic/agents/{agent}:mine")])
            .output()
            .unwrap();
        assert_eq!(kept.stdout, b"mine\n", "{kept:?}");
        assert!(!site.data().join("agents").join(agent).exists());
    }
    let log = site.log().await;
    let told = log.iter().filter_map(|(_, event)| event.cause.clone());
    assert!(
        told.into_iter()
            .any(|cause| cause == Cause::OutOfDisk { limit_bytes })
    );
}

#[tokio::test]
async fn a_full_disk_refuses_spawns_and_what_runs_goes_on_and_can_be_killed() {
    let mut site = Site::start_with(PROCESS, "", &[]).await;
    let (gate, task) = site.gate("gate");
    let finishes = site.spawn(&task).await;
    let killed = site.spawn("sleep 600").await;
    site.crash_and_start(PROCESS, "[disk]\nfree_bytes = 9000000000000000000\n")
        .await;
    let status = site.try_spawn("true").await.unwrap_err();
    let refusal = Refusal::from_status(&status).unwrap();
    assert_eq!(refusal.reason, Reason::DiskFull, "{refusal:?}");
    assert!(refusal.retry_after.is_some());
    site.kill(&killed).await;
    assert_eq!(site.ended(&killed).await, pb::AgentState::Killed);
    std::fs::write(gate, "").unwrap();
    assert_eq!(site.ended(&finishes).await, pb::AgentState::Completed);
    let cleanup = site.log().await.into_iter().rev();
    let report = cleanup.into_iter().find_map(|(_, event)| event.cleanup);
    assert_ne!(report.unwrap().worktree.outcome, Outcome::Failed);
    site.crash_and_start(PROCESS, "").await;
    let again = site.spawn("true").await;
    assert_eq!(site.ended(&again).await, pb::AgentState::Completed);
}

#[tokio::test]
async fn a_crash_between_the_steps_of_an_eviction_leaves_nothing_wrong() {
    let no_caches = "[disk]\ncache_bytes = 0\n";
    let mut site = Site::start_with(PROCESS, "", &[]).await;
    for place in ["gc.results_made_whole", "gc.cache_retired"] {
        let agent = site.spawn_spec(on_web("echo mine > mine")).await;
        assert_eq!(
            site.ended(&agent).await,
            pb::AgentState::Completed,
            "{place}"
        );
        site.die_at(place, PROCESS, no_caches);
        let cache = site.data().join("cache/web.git");
        assert_eq!(cache.exists(), place == "gc.results_made_whole");
        site.crash_and_start(PROCESS, no_caches).await;
        let trash = site.data().join("trash");
        until("the cache and all of it is gone", || {
            !cache.exists() && std::fs::read_dir(&trash).unwrap().count() == 0
        })
        .await;
        let results = site.data().join("results/web.git");
        let whole = Command::new("git")
            .arg("--git-dir")
            .arg(&results)
            .args(["rev-list", "--objects", "--all", "--quiet"])
            .status();
        assert!(whole.unwrap().success(), "{place}");
    }
    let again = site.spawn_spec(on_web("test -e README.md")).await;
    assert_eq!(site.ended(&again).await, pb::AgentState::Completed);
}

#[tokio::test]
async fn the_oldest_outputs_of_ended_agents_go_and_readers_are_told() {
    let mut site = Site::start_with(PROCESS, "", &[]).await;
    let old = site.spawn("head -c 5000 /dev/zero").await;
    site.ended(&old).await;
    let new = site.spawn("head -c 5000 /dev/zero").await;
    site.ended(&new).await;
    site.crash_and_start(PROCESS, "[disk]\noutput_bytes = 6000\n")
        .await;
    let file = |agent: &str| site.data().join("output").join(agent);
    let (dropped, kept) = (file(&old), file(&new));
    until("the oldest output is dropped", || {
        std::fs::metadata(&dropped).unwrap().len() < 100
    })
    .await;
    assert!(std::fs::metadata(&kept).unwrap().len() >= 5000);
    let said = site.logs(&old).await;
    assert!(said.iter().map(|piece| piece.dropped_bytes).sum::<u64>() >= 5000);
}
