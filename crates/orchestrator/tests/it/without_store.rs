//! A spoke whose store cannot be used: it says so, deletes nothing, tells and kills what runs; and is
//! as ever once the store is back. One folder has one spoke.

use crate::site::{Site, until};
use mosaic_common::proto::agent::v1 as pb;
use std::fs;
use std::process::Command;

const TOP: &str = "sandboxes = ['process']\n";

/// Puts something that is no store in the store's place, and gives the way back.
fn damage(site: &Site) -> impl FnOnce() + use<> {
    let (store, aside) = (site.data().join("store"), site.data().join("store-aside"));
    fs::rename(&store, &aside).unwrap();
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::metadata(&aside).unwrap().permissions()).unwrap();
    fs::write(
        store.join("mosaic.db"),
        "this is no database, but long enough to be looked at".repeat(99),
    )
    .unwrap();
    move || {
        fs::rename(&store, store.with_file_name("store-broken")).unwrap();
        fs::rename(&aside, &store).unwrap();
    }
}

#[tokio::test]
async fn a_spoke_without_its_store_deletes_nothing_and_still_tells_and_kills() {
    let mut site = Site::start_with(TOP, "", &[]).await;
    let (_, waits) = site.gate("never");
    let spec = |task: &str| pb::AgentSpec {
        task: format!("echo work > work.txt; {task}"),
        repository: "web".into(),
        ..Default::default()
    };
    let killed = site.spawn_spec(spec(&waits)).await;
    let (gate, goes_on) = site.gate("gate");
    let finishes = site.spawn_spec(spec(&goes_on)).await;
    let folder = |agent: &str| site.data().join("agents").join(agent).join("worktree");
    let work = [&killed, &finishes].map(|agent| folder(agent).join("work.txt"));
    until("both work", || work.iter().all(|file| file.exists())).await;

    site.crash();
    let mend = damage(&site);
    site.start_again(TOP, "").await;
    let refused = site.try_spawn("true").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(
        refused.message().contains("only status and kill"),
        "{refused}"
    );
    assert_eq!(site.agent(&killed).await.state(), pb::AgentState::Running);
    site.kill(&killed).await;
    assert!(work.iter().all(|file| file.exists()), "nothing is deleted");
    assert_eq!(site.agent(&finishes).await.state(), pb::AgentState::Running);
    assert_eq!(site.said("the store cannot be used: only what runs"), 1);

    mend();
    until("it is as ever", || site.said("spoke serves") == 2).await;
    site.reach().await;
    assert_eq!(site.ended(&killed).await, pb::AgentState::Failed);
    let lost = site.agent(&killed).await;
    assert!(
        lost.cleanup.unwrap().rescue_commit.len() == 40,
        "its work is rescued"
    );
    fs::write(gate, "").unwrap();
    assert_eq!(site.ended(&finishes).await, pb::AgentState::Completed);
}

#[tokio::test]
async fn a_second_spoke_does_not_start_in_the_same_folder() {
    let site = Site::start_with(TOP, "", &[]).await;
    let config = site.data().parent().unwrap().join("spoke.toml");
    let second = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.contains("another spoke uses the data folder"),
        "{said}"
    );
}
