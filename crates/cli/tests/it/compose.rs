//! `docker-compose.yml` is a promise too: a federation of containers that nobody had to introduce.

mod stack;

use crate::world::until;
use serde_json::Value;
use stack::{Stack, docker};
use std::fs;
use std::path::Path;
use std::process::Command;

const SITES: [&str; 2] = ["osaka", "tokyo"];

#[test]
fn compose_makes_a_federation_that_peers_by_itself_and_leaves_nothing_behind() {
    let Some(stack) = Stack::up() else {
        return;
    };
    until_both_sites_are_active(&stack);
    volumes_are_written_by_their_owner_alone(&stack);
    let ended = spawn(&stack, "osaka", "echo made > made.txt");
    let endless = spawn(&stack, "tokyo", "echo begun > begun.txt; sleep 600");
    completes_with_its_file(&stack, &ended);
    outlives_its_spokes_container(&stack, &endless);
    is_killed_with_proof(&stack, &endless);
    valkey_has_both_cleanups(&stack, [&ended, &endless]);
    a_restart_keeps_every_key_and_trusts_no_other(&stack);
    down_leaves_nothing(&stack, &endless);
}

fn until_both_sites_are_active(stack: &Stack) {
    until("both sites to be active", || {
        let said = stack.mosaic(&["sites"]);
        said.code == 0
            && said.lines().len() == SITES.len()
            && said.lines().iter().all(|site| site["state"] == "active")
            // A connection is active as soon as it is configured: ask across it, too.
            && SITES.iter().all(|site| stack.mosaic(&["ps", "--site", site]).code == 0)
    });
}

fn spawn(stack: &Stack, site: &str, script: &str) -> String {
    let said = stack.mosaic(&["spawn", "--site", site, "--repo", "demo", script]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.json()["site"], site);
    said.json()["agentId"].as_str().unwrap().to_owned()
}

fn until_state(stack: &Stack, agent: &str, state: &str) -> Value {
    let mut last = Value::Null;
    until(&format!("{agent} to be {state}"), || {
        last = stack.mosaic(&["status", agent]).json();
        last["state"] == state && (state == "running" || !last["cleanup"].is_null())
    });
    last
}

fn completes_with_its_file(stack: &Stack, agent: &str) {
    let record = until_state(stack, agent, "completed");
    assert_eq!(record["sandbox"], "docker", "{record}");
    let patch = stack.mosaic(&["result", agent, "--patch"]);
    assert!(patch.out.contains("+++ b/made.txt"), "{}", patch.out);
}

fn outlives_its_spokes_container(stack: &Stack, agent: &str) {
    until_state(stack, agent, "running");
    let started = || stack.started("spoke-tokyo");
    let before = started();
    // All but the first process, which then ends. The shell may not live to say how it went.
    stack.try_exec("spoke-tokyo", &["sh", "-c", "kill -9 -1"]);
    until("the container to be started again", || started() != before);
    until("the spoke to answer again", || {
        stack.mosaic(&["ps", "--site", "tokyo"]).code == 0
    });
    assert_eq!(until_state(stack, agent, "running")["ended"], Value::Null);
}

fn is_killed_with_proof(stack: &Stack, agent: &str) {
    until_state(stack, agent, "running");
    let mine = format!("label=mosaic.agent={agent}");
    let running = docker(&["ps", "-q", "--filter", &mine]); // beside the spoke's, on the host
    let image = docker(&["inspect", "--format", "{{.Image}}", &running]);
    assert_eq!(image, stack.image("MOSAIC_AGENT_IMAGE"));
    let killed = stack.mosaic(&["kill", agent, "--grace", "1s"]);
    assert_eq!(killed.code, 0, "{}", killed.err);
    assert_eq!(killed.json()["outcome"], "killed");
    assert_eq!(docker(&["ps", "-aq", "--filter", &mine]), "");
    let patch = stack.mosaic(&["result", agent, "--patch"]);
    assert!(patch.out.contains("+++ b/begun.txt"), "{}", patch.out);
}

fn valkey_has_both_cleanups(stack: &Stack, agents: [&str; 2]) {
    for (site, agent) in SITES.iter().zip(agents) {
        let stream = format!("mosaic:events:{site}");
        until(&format!("the cleanup of {agent} to be in {stream}"), || {
            let entries = stack.exec("valkey", &["redis-cli", "XRANGE", &stream, "-", "+"]);
            entries.lines().any(|entry| {
                serde_json::from_str::<Value>(entry).is_ok_and(|event| {
                    event["type"] == "agent.cleanup" && event["agentId"] == agent
                })
            })
        });
    }
}

/// A public half that its owner changes later is not taken for his, and a start makes no new keys.
fn a_restart_keeps_every_key_and_trusts_no_other(stack: &Stack) {
    let keys = "cat /peers/hub/public.toml /var/lib/mosaic/*.pin /var/lib/mosaic/connections.toml";
    let (before, files) = (stack.exec("hub", &["sh", "-c", keys]), stack.client_files());
    let forge = "sed -i 's/\"[0-9a-f]\\{8\\}/\"00000000/' /peers/osaka/public.toml";
    stack.exec("spoke-osaka", &["sh", "-c", forge]);

    stack.compose(&["restart", "hub"]);
    stack.compose(&["up", "-d"]);
    until_both_sites_are_active(stack);
    assert_eq!(stack.exec("hub", &["sh", "-c", keys]), before);
    assert_eq!(stack.client_files(), files);
    let told = stack.compose(&["logs", "--no-color", "hub"]);
    assert!(told.contains("osaka shows other keys"), "{told}");
}

/// What the containers may do, asked of the engine and not of the file.
fn volumes_are_written_by_their_owner_alone(stack: &Stack) {
    let mut mounted: Vec<(String, String, bool)> = Vec::new();
    for container in stack.containers() {
        let service = container["Config"]["Labels"]["com.docker.compose.service"].clone();
        let service = service.as_str().unwrap().to_owned();
        let host = &container["HostConfig"];
        assert_eq!(host["Privileged"], false, "{service}");
        assert_eq!(host["CapDrop"][0], "ALL", "{service}");
        assert_eq!(host["ReadonlyRootfs"], true, "{service}");
        for port in host["PortBindings"].as_object().unwrap().values() {
            assert_eq!(port[0]["HostIp"], "127.0.0.1", "{service}");
        }
        let is_spoke = service.starts_with("spoke-");
        for mount in container["Mounts"].as_array().unwrap() {
            let socket = mount["Destination"] == "/var/run/docker.sock";
            assert!(is_spoke || !socket, "{service} may use the engine");
            if let Some(name) = mount["Name"].as_str() {
                let written = mount["RW"] == true;
                mounted.push((stack.short(name), service.clone(), written));
            }
        }
    }
    let of = |volume: &str, written: bool| {
        let of = mounted
            .iter()
            .filter(|(name, _, writes)| name == volume && *writes == written);
        let mut of: Vec<&str> = of.map(|(_, service, _)| service.as_str()).collect();
        of.sort_unstable();
        of
    };
    assert_eq!((of("hub", true), of("hub", false)), (vec!["hub"], vec![]));
    assert_eq!(of("client", true), ["hub"]);
    assert_eq!(of("client", false), ["client"]);
    for site in SITES {
        let (spoke, keys, public) = (
            format!("spoke-{site}"),
            format!("{site}-keys"),
            format!("{site}-public"),
        );
        assert_eq!(of(&keys, true), [spoke.as_str()]);
        assert!(of(&keys, false).is_empty());
        assert_eq!(of(&public, true), [spoke.as_str()]);
        assert_eq!(of(&public, false), ["hub"]);
    }
    assert_eq!(of("hub-public", true), ["hub"]);
    assert_eq!(of("hub-public", false), ["spoke-osaka", "spoke-tokyo"]);
}

fn down_leaves_nothing(stack: &Stack, of_tokyo: &str) {
    // One that lives when everything goes, so that the spoke has something to clean up.
    let last = spawn(stack, "osaka", "echo last > last.txt; sleep 600");
    until_state(stack, &last, "running");
    stack.compose(&["down", "-v"]);
    assert_eq!(stack.left(), Vec::<String>::new());
    for (site, agent) in [("osaka", &last), ("tokyo", &of_tokyo.to_owned())] {
        let data = stack.data().join(site);
        for folder in ["agents", "run", "trash"] {
            assert_eq!(entries(&data.join(folder)), Vec::<String>::new());
        }
        let work = data.join("results/demo.git/refs/mosaic/agents").join(agent);
        assert!(work.exists(), "the work of {agent} is rescued");
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn of_what_a_peer_shows_only_its_two_keys_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("public.toml");
    let key = |digit: &str| digit.repeat(64);
    let (signs, speaks) = (
        format!("signing_key = \"{}\"", key("a")),
        format!("tls_key = \"{}\"", key("b")),
    );
    let hostile = format!(
        "{signs}\n{speaks}\n[connection.grant]\nmax_agents = 999\n[[connection]]\nid = \"mine\"\n\
         signing_key = \"{}\"\ntls_key = \"{}\" # [[connection]]\nsigning_key = \"short\"\n",
        key("c"),
        key("d"),
    );
    fs::write(&shown, hostile).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker/peer.sh");
    let read = Command::new("sh")
        .args(["-euc", ". \"$1\"; keys_in \"$2\"", "sh"])
        .args([&script, &shown])
        .output()
        .unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    assert_eq!(read, format!("{signs}\n{speaks}\n"));
}
