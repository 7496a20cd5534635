//! Hub, spokes and client as a stranger would run them: real processes, real git, real sandboxes.

use crate::world::{World, mosaic, said, until};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The secret of every spoke's `secret` profile.
pub(crate) const CANARY: &str = "canary-7d1f5c2e-never-to-be-seen";

const RUN: &str = "echo started; exec sleep 1000";

#[test]
fn spawn_status_and_kill_go_through_hub_and_spoke() {
    let world = World::of(&["alpha"]);
    let agent = world.spawn("alpha", RUN);
    world.until_it_says("alpha", &agent, "started");
    assert_eq!(world.hub(&["status", &agent]).json()["state"], "running");
    assert_eq!(world.inventory("alpha")["sandboxes"], 1);
    let killed = world.hub(&["kill", &agent]);
    assert_eq!(
        (killed.code, &killed.json()["outcome"]),
        (0, &"killed".into()),
        "{}",
        killed.err
    );
    let left = world.inventory("alpha");
    for kind in [
        "sandboxes",
        "processes",
        "namespaces",
        "worktrees",
        "pins",
        "liveRecords",
    ] {
        assert_eq!(left[kind], 0, "{left}");
    }
    assert_eq!(left["rescueRefs"], 1);
    let told = world.hub(&["commands"]).lines();
    let kinds: Vec<_> = told
        .iter()
        .map(|command| command["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"spawn") && kinds.contains(&"kill"),
        "{kinds:?}"
    );
    assert!(
        told.iter().all(|command| command["outcome"] == "delivered"),
        "{told:?}"
    );
    let at_spoke = world.at_spoke("alpha", &["commands"]).lines();
    assert!(
        at_spoke
            .iter()
            .any(|command| command["kind"] == "kill" && command["connection"] == "hub-alpha")
    );
}

#[test]
fn the_same_command_twice_is_one_agent_and_with_another_task_a_conflict() {
    let world = World::of(&["alpha"]);
    let command = mosaic_common::CommandId::random().to_string();
    let spawn = |task: &str| {
        let labels = ["--label", "a=1", "--label", "b=2", "--label", "c=3"];
        world.hub(
            &[
                &["spawn", "--repo", "demo", "--command-id", &command][..],
                &labels,
                &[task],
            ]
            .concat(),
        )
    };
    let (first, again) = (spawn("true"), spawn("true"));
    assert_eq!(first.json()["agentId"], again.json()["agentId"]);
    let other = spawn("false");
    assert_eq!(
        (other.code, other.reason().as_str()),
        (3, "COMMAND_CONFLICT")
    );
    assert_eq!(world.hub(&["ps", "--all"]).lines().len(), 1);
}

#[test]
fn a_kill_that_comes_before_its_spawn_wins() {
    let world = World::of(&["alpha"]);
    let agent = "ag_abcdefghijklmnopqrstuvwxyz";
    let killed = world.hub(&["kill", "--site", "alpha", agent]);
    assert_eq!(killed.json()["outcome"], "never_started", "{}", killed.err);
    let spawned = world.hub(&[
        "spawn", "--site", "alpha", "--id", agent, "--repo", "demo", RUN,
    ]);
    assert_eq!(
        (spawned.code, spawned.reason().as_str()),
        (3, "AGENT_BARRED")
    );
    assert_eq!(world.inventory("alpha")["sandboxes"], 0);
}

#[test]
fn what_a_client_waits_for_is_the_exit_code() {
    let world = World::of(&["alpha"]);
    for (script, code) in [("echo well", 0), ("exit 3", 1)] {
        let ended = world.hub(&["spawn", "--repo", "demo", "--wait", script]);
        assert_eq!(ended.code, code, "{script}: {} {}", ended.out, ended.err);
    }
}

#[test]
fn a_patch_of_100_mib_comes_through_hub_and_spoke_whole() {
    let world = World::of(&["alpha"]);
    let script = "yes 'a line of thirty-two characters..' | head -c 104857600 > big.txt; echo made";
    let agent = world.spawn("alpha", script);
    world.until_state("alpha", &agent, "completed");
    let token = world.token_file("hub");
    let endpoint = format!("http://{}", world.hub_address("hub"));
    let patch = world.folder().join("patch");
    let done = mosaic()
        .args(["--endpoint", &endpoint, "--token-file"])
        .arg(token)
        .args(["result", &agent, "--patch"])
        .stdout(fs::File::create(&patch).unwrap())
        .status()
        .unwrap();
    assert!(done.success());
    assert!(patch.metadata().unwrap().len() > 104_857_600);
    let (repository, copy) = (
        world.folder().join("repository"),
        world.folder().join("copy"),
    );
    git(
        world.folder(),
        &[
            "clone",
            "-q",
            repository.to_str().unwrap(),
            copy.to_str().unwrap(),
        ],
    );
    git(&copy, &["apply", patch.to_str().unwrap()]);
    assert_eq!(copy.join("big.txt").metadata().unwrap().len(), 104_857_600);
}

#[test]
fn two_hubs_and_two_spokes_cannot_reach_each_others_agents() {
    let world = World::new(&[("north", &["alpha", "beta"]), ("south", &["alpha", "beta"])]);
    let spawned = world.at_hub(
        "north",
        &["spawn", "--site", "alpha", "--repo", "demo", RUN],
    );
    let agent = spawned.json()["agentId"].as_str().unwrap().to_owned();
    world.until_it_says("alpha", &agent, "started");
    for site in ["alpha", "beta"] {
        for call in [
            &["status", "--site", site, &agent][..],
            &["logs", "--site", site, &agent],
        ] {
            let said = world.at_hub("south", call);
            assert_eq!(
                (said.code, said.reason().as_str()),
                (4, "AGENT_NOT_FOUND"),
                "{call:?}"
            );
        }
    }
    let killed = world.at_hub("south", &["kill", "--site", "alpha", &agent]);
    assert_eq!(
        (killed.code, killed.reason().as_str()),
        (4, "AGENT_NOT_FOUND")
    );
    assert!(world.at_hub("south", &["ps", "--all"]).lines().is_empty());
    world.at_hub("south", &["kill-all"]);
    assert_eq!(
        world.at_hub("north", &["status", &agent]).json()["state"],
        "running"
    );
    let seen = world.at_hub("south", &["watch", "--site", "alpha", "--no-follow"]);
    assert!(!seen.out.contains(&agent), "{}", seen.out);
}

#[test]
fn pending_suspended_and_revoked_connections_are_honoured_at_once() {
    let world = World::of(&["alpha"]);
    let agent = world.spawn("alpha", RUN);
    world.until_it_says("alpha", &agent, "started");
    let reload = |state: &str| {
        world.write_spoke("alpha", &["hub"], state);
        world.signal("alpha", "-HUP");
    };
    reload("suspended");
    until("the spoke to refuse spawns", || {
        world
            .hub(&["spawn", "--site", "alpha", "--repo", "demo", "true"])
            .reason()
            == "CONNECTION_SUSPENDED"
    });
    assert_eq!(world.hub(&["status", &agent]).json()["state"], "running");
    assert_eq!(world.hub(&["kill", &agent]).json()["outcome"], "killed");
    for state in ["pending", "revoked"] {
        reload(state);
        until(state, || {
            world.hub(&["status", &agent]).reason() == "SITE_UNREACHABLE"
        });
        assert_eq!(
            world.at_spoke("alpha", &["status", &agent]).code,
            0,
            "its operator still can"
        );
    }
}

#[test]
fn a_spoke_that_is_told_to_stop_ends_and_rescues_its_agents_first() {
    let mut world = World::of(&["alpha"]);
    let agent = world.spawn(
        "alpha",
        "echo unsaved > unsaved.txt; echo started; exec sleep 1000",
    );
    world.until_it_says("alpha", &agent, "started");
    world.signal("alpha", "-TERM");
    assert_eq!(world.ended("alpha"), 0, "{}", world.log("alpha"));
    let left = world.inventory("alpha");
    for kind in ["sandboxes", "processes", "worktrees", "liveRecords"] {
        assert_eq!(left[kind], 0, "{left}");
    }
    assert_eq!(world.hub(&["status", &agent]).reason(), "SITE_UNREACHABLE");
    world.start_spoke("alpha");
    let record = world.at_spoke("alpha", &["status", &agent]).json();
    assert_eq!(
        (&record["state"], &record["cause"]["kind"]),
        (&"failed".into(), &"drained".into())
    );
    let patch = world.hub(&["result", &agent, "--patch"]);
    assert!(
        patch.out.contains("unsaved.txt"),
        "{} {}",
        patch.out,
        patch.err
    );
    // The same as a bundle, through the hub and at the spoke: git takes it into a clone.
    let copy = world.folder().join("bundle-copy");
    let source = world.folder().join("repository");
    let clone = [
        "clone",
        "-q",
        source.to_str().unwrap(),
        copy.to_str().unwrap(),
    ];
    git(world.folder(), &clone);
    for (name, by_hub) in [("hub.bundle", true), ("spoke.bundle", false)] {
        let file = world.folder().join(name);
        let asked = [
            "result",
            &agent,
            "--bundle",
            file.to_str().unwrap(),
            "--json",
        ];
        let told = if by_hub {
            world.hub(&asked)
        } else {
            world.at_spoke("alpha", &asked)
        };
        let told = told.json();
        let fetched = format!("{}:refs/heads/{name}", told["rescueRef"].as_str().unwrap());
        git(&copy, &["fetch", "-q", file.to_str().unwrap(), &fetched]);
        git(&copy, &["cat-file", "-e", &format!("{name}:unsaved.txt")]);
    }
}

#[test]
fn an_agent_outlives_its_spoke_and_is_found_again() {
    let mut world = World::of(&["alpha"]);
    let agent = world.spawn("alpha", "echo started; while :; do sleep 0.1; done");
    world.until_it_says("alpha", &agent, "started");
    world.signal("alpha", "-KILL");
    world.ended("alpha");
    assert_eq!(world.inventory("alpha")["sandboxes"], 1);
    world.start_spoke("alpha");
    assert_eq!(
        world.until_state("alpha", &agent, "running")["state"],
        "running"
    );
    assert_eq!(world.hub(&["kill", &agent]).json()["outcome"], "killed");
    let events = world.at_spoke("alpha", &["watch", "--no-follow"]).lines();
    let runs = events
        .iter()
        .filter(|event| event["type"] == "agent.running")
        .count();
    assert_eq!(runs, 1, "it was not started again");
    assert_eq!(world.inventory("alpha")["processes"], 0);
}

#[test]
fn kill_all_latches_every_site_until_it_is_released() {
    let world = World::of(&["alpha", "beta"]);
    let agents = [world.spawn("alpha", RUN), world.spawn("beta", RUN)];
    world.until_it_says("alpha", &agents[0], "started");
    let killed = world.hub(&["kill-all"]);
    assert_eq!(killed.code, 0, "{}", killed.err);
    for site in ["alpha", "beta"] {
        let refused = world.hub(&["spawn", "--site", site, "--repo", "demo", RUN]);
        assert_eq!(refused.reason(), "SPAWNS_LATCHED");
        assert_eq!(world.inventory(site)["processes"], 0);
    }
    assert_eq!(world.hub(&["release"]).code, 0);
    world.spawn("beta", "true");
}

#[test]
fn a_secret_reaches_its_agent_and_nothing_else() {
    let mut world = World::of(&["alpha"]);
    let script = "test \"$API_KEY\" = \"$(printf %s canary-7d1f5c2e-never- to-be-seen | tr -d ' ')\" && echo has it; exit 5";
    let agent = world
        .hub(&[
            "spawn",
            "--site",
            "alpha",
            "--repo",
            "demo",
            "--profile",
            "secret",
            script,
        ])
        .json();
    let agent = agent["agentId"].as_str().unwrap().to_owned();
    world.until_state("alpha", &agent, "failed");
    assert!(
        world
            .at_spoke("alpha", &["logs", &agent])
            .out
            .contains("has it")
    );
    let missing = world.hub(&["spawn", "--repo", "nowhere", "--profile", "secret", "true"]);
    assert_eq!(
        missing.code, 3,
        "the grant does not list it: {}",
        missing.err
    );
    for name in ["hub", "alpha"] {
        world.signal(name, "-TERM");
        world.ended(name);
    }
    let base64 = "Y2FuYXJ5LTdkMWY1YzJlLW5ldmVyLXRvLWJlLXNlZW4";
    let own = world.folder().join("secret");
    let mut files = vec![world.folder().to_owned()];
    let mut looked = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() && !path.is_symlink() {
            files.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.is_file() && path != own && !path.ends_with("bin/supervise") {
            looked += 1;
            let bytes = fs::read(&path).unwrap();
            for canary in [CANARY, base64] {
                let found = bytes
                    .windows(canary.len())
                    .any(|window| window == canary.as_bytes());
                assert!(!found, "{} holds the secret", path.display());
            }
        }
    }
    assert!(looked > 10, "only {looked} files");
}

#[test]
fn an_independent_client_in_python_does_the_main_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".cache/venv/bin/python");
    if !python.exists() {
        assert!(
            std::env::var_os("MOSAIC_CI").is_none(),
            "scripts/setup has not made the Python environment"
        );
        eprintln!(
            "!!! no Python environment (run scripts/setup): the independent client was NOT tested"
        );
        return;
    }
    let world = World::of(&["alpha"]);
    let done = said(
        Command::new(root.join("tests/python/run"))
            .env("HUB_ENDPOINT", world.hub_address("hub").to_string())
            .env("HUB_TOKEN_FILE", world.token_file("hub"))
            .env("SPOKE_SOCKET", world.socket("alpha"))
            .env("REPO_ALIAS", "demo")
            .env("SITE", "alpha")
            .env("PYTHON", python),
    );
    assert_eq!(
        done.code,
        0,
        "{}\n{}\n{}",
        done.out,
        done.err,
        world.log("hub")
    );
}

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(done.success(), "git {arguments:?}");
}
