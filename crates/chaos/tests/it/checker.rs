//! The checker bites: what is planted into a real, settled system is found, and nothing else is.

use crate::{can_run, has_docker, program};
use chaos::drive::Drive;
use chaos::finding::{Fault, Finding};
use chaos::plan::{Ending, Plan};
use chaos::scenario::Step;
use chaos::work::Promise;
use chaos::world::{Uses, World};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An agent that no spoke knows.
const STRANGER: &str = "ag_aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A world in which one agent has completed; its plan.
async fn settled(docker: bool) -> (World, Plan) {
    let uses = Uses {
        docker,
        valkey: true,
        evicts: false,
    };
    let mut world = World::start(program(), uses).await.unwrap();
    let plan = Plan::new(Ending::Well);
    let drive = Drive::new(&mut world, "none.at_all", Vec::new()).unwrap();
    let steps = vec![Step::Spawn(plan.clone()), Step::Ended(plan.clone())];
    let outcome = drive.play(steps).await.unwrap();
    assert_eq!(outcome.findings, [], "a system that is well");
    (world, plan)
}

async fn look(world: &World) -> Vec<Finding> {
    let promises = world.witness.promises();
    world.checker().unwrap().once(&promises).await.unwrap()
}

/// Asserts that exactly this is found.
async fn assert_finds(world: &World, fault: Fault, agent: Option<&str>, text: &str) {
    let found = look(world).await;
    let is_it =
        |of: &Finding| of.fault == fault && of.agent.as_deref() == agent && of.what.contains(text);
    assert!(
        !found.is_empty() && found.iter().all(is_it),
        "{text}: {found:#?}"
    );
}

/// A process that bears the mark of an agent.
struct Stray(Child);

impl Stray {
    fn of(agent: &str, folder: &Path) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").env("MOSAIC_AGENT_ID", agent);
        let quiet = command
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(quiet.spawn().unwrap())
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn what_is_left_in_the_data_folder_is_found() {
    if !can_run() {
        return;
    }
    let (world, plan) = settled(false).await;
    let (data, agent) = (world.data(), Some(&*plan.agent));
    for (folder, agent) in [
        ("agents", agent),
        ("run", agent),
        ("agents", Some(STRANGER)),
    ] {
        let left = data.join(folder).join(agent.unwrap());
        fs::create_dir(&left).unwrap();
        assert_finds(&world, Fault::Leak, agent, folder).await;
        fs::remove_dir(left).unwrap();
    }
    for left in [
        "trash/rubble",
        "results/web.new-0",
        "cache/web.git/packed-refs.lock",
    ] {
        fs::write(data.join(left), "").unwrap();
        assert_finds(&world, Fault::Leak, None, left).await;
        fs::remove_file(data.join(left)).unwrap();
    }
    let pin = format!("refs/mosaic/bases/{}", plan.agent);
    let git = |more: &[&str]| {
        let cache = data.join("cache/web.git");
        let mut git = Command::new("git");
        let done = git.arg("--git-dir").arg(cache).args(more).status();
        assert!(done.unwrap().success());
    };
    git(&["update-ref", &pin, "refs/heads/main"]);
    assert_finds(&world, Fault::Leak, agent, "Pin").await;
    git(&["update-ref", "-d", &pin]);
    assert_eq!(look(&world).await, []);
}

#[tokio::test]
async fn a_stray_process_is_found_and_makes_what_is_said_untrue() {
    if !can_run() {
        return;
    }
    let (world, plan) = settled(false).await;
    let stray = Stray::of(&plan.agent, Path::new("/"));
    assert_finds(
        &world,
        Fault::Untrue,
        Some(&plan.agent),
        "said to be completed",
    )
    .await;
    drop(stray);
    let stray = Stray::of(STRANGER, &world.data());
    assert_finds(&world, Fault::Leak, Some(STRANGER), "does not know").await;
    drop(stray);
    let elsewhere = Stray::of(STRANGER, Path::new("/"));
    assert_eq!(look(&world).await, [], "another spoke's agent is not ours");
    drop(elsewhere);
}

#[tokio::test]
async fn work_that_is_gone_or_was_done_twice_is_found() {
    if !can_run() {
        return;
    }
    let (world, plan) = settled(false).await;
    let kept = world.witness.of_agent(&plan.agent);
    assert_eq!(
        (kept.begun, kept.commits.len(), kept.files.len()),
        (1, 1, 2)
    );
    let check = async |promise: Promise| world.checker().unwrap().once(&[promise]).await.unwrap();
    let mut more = kept.clone();
    more.files.push(("lost.txt".to_owned(), "x\n".to_owned()));
    let found = check(more).await;
    assert!(
        found.len() == 1 && found[0].fault == Fault::Lost,
        "{found:?}"
    );
    let mut twice = kept.clone();
    twice.begun = 2;
    let found = check(twice).await;
    assert!(
        found.len() == 1 && found[0].fault == Fault::Duplicate,
        "{found:?}"
    );
    let mut undone = kept;
    undone.done = false;
    let found = check(undone).await;
    assert!(
        found.len() == 1 && found[0].fault == Fault::Untrue,
        "{found:?}"
    );
    let name = format!("refs/mosaic/agents/{}", plan.agent);
    let results = world.data().join("results/web.git");
    let mut git = Command::new("git");
    let gone = git
        .arg("--git-dir")
        .arg(results)
        .args(["update-ref", "-d", &name]);
    assert!(gone.status().unwrap().success());
    assert_finds(&world, Fault::Untrue, Some(&plan.agent), "no rescue ref").await;
}

#[tokio::test]
async fn a_leaked_container_and_network_are_found() {
    if !can_run() || !has_docker() {
        return;
    }
    let (world, plan) = settled(true).await;
    let data = format!("mosaic.data={}", world.data().display());
    let docker = |arguments: &[&str]| {
        let done = Command::new("docker")
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "{arguments:?}");
    };
    let name = format!("mosaic-planted-{}", world.site());
    let agent = format!("mosaic.agent={}", plan.agent);
    docker(&[
        "create",
        "--name",
        &name,
        "--label",
        &data,
        "--label",
        &agent,
        "mosaic-test",
        "true",
    ]);
    assert_finds(&world, Fault::Leak, Some(&plan.agent), "Container").await;
    docker(&["rm", &name]);
    docker(&["network", "create", "--label", &data, &name]);
    assert_finds(&world, Fault::Leak, None, "Network").await;
    docker(&["network", "rm", &name]);
    docker(&["volume", "create", "--label", &data, &name]);
    assert_finds(&world, Fault::Leak, None, "Volume").await;
    docker(&["volume", "rm", &name]);
}

#[tokio::test]
async fn what_valkey_tells_of_an_agent_that_is_over_is_found() {
    if !can_run() {
        return;
    }
    let (world, plan) = settled(false).await;
    let Some(server) = &world.valkey else { return };
    let mut client = server.client();
    let value = format!("{{\"site\":\"{}\",\"state\":\"running\"}}", world.site());
    let key = format!("mosaic:agent:{}", plan.agent);
    client.call(&["SET", &key, &value]);
    assert_finds(&world, Fault::Leak, Some(&plan.agent), "Key").await;
    client.call(&["DEL", &key]);
    client.call(&[
        "SADD",
        &format!("mosaic:agents:{}", world.site()),
        &plan.agent,
    ]);
    assert_finds(&world, Fault::Leak, Some(&plan.agent), "Member").await;
}
