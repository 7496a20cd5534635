//! What is special about containers: the engine's records, its other users, its networks.

use super::bench::{Bench, in_time, needed, said, settings, spoke};
use mosaic_common::agent::Limits;
use mosaic_testkit::engine::EngineDoor;
use orchestrator::folders::Folders;
use orchestrator::sandbox::docker::Docker;
use orchestrator::sandbox::{Ending, Error, Network, Removed, Sandbox, SandboxSpec};
use std::process::Command;
use std::time::Duration;

claims!([docker] [
    the_engine_records_no_secret,
    a_container_that_was_never_told_is_made_again,
    another_spokes_containers_are_never_touched,
    a_container_killed_behind_the_spokes_back_is_told,
    a_container_removed_behind_the_spokes_back_is_told,
    a_paused_container_is_removed,
    output_goes_on_without_gap_or_repetition_for_a_spoke_that_came_back,
    an_image_that_is_not_there_is_told,
    an_image_is_fetched_only_where_that_is_allowed,
    only_an_agent_with_a_network_reaches_beyond_itself,
    agents_that_start_at_once_share_one_network,
    nothing_of_an_image_runs_but_what_was_asked_for,
    an_engine_that_cannot_be_asked_proves_nothing,
]);

/// Asks the engine by its own client.
fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker").args(arguments).output().unwrap();
    let (out, err) = (done.stdout, String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "docker {arguments:?}: {err}");
    String::from_utf8(out).unwrap()
}

/// The agent's container.
fn container(spec: &SandboxSpec) -> String {
    format!("mosaic-{}-{}", spoke(), spec.agent)
}

async fn the_engine_records_no_secret(bench: &Bench) {
    const CANARY: &str = "canary-81b2f0d4";
    let mut spec = bench.spec("echo said; : > ready; sleep 1000");
    spec.env.insert("TOKEN".to_owned(), CANARY.to_owned());
    spec.stdin = CANARY.into();
    bench.sandbox.ensure(&spec).await.unwrap();
    let record = docker(&["inspect", &container(&spec)]);
    assert!(
        record.contains(spec.agent.as_str()) && !record.contains(CANARY),
        "{record}"
    );
    let root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
    let id = docker(&["inspect", "--format", "{{.Id}}", &container(&spec)]);
    let folder = std::path::Path::new(root.trim())
        .join("containers")
        .join(id.trim());
    let Some(files) = needed(
        "the engine's own files",
        std::fs::read_dir(folder).map_err(|e| e.to_string()),
    ) else {
        return;
    };
    for file in files {
        let text = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(CANARY));
    }
    bench.remove_for_good(&spec).await;
}

/// As a spoke leaves it that dies between making and starting it.
async fn a_container_that_was_never_told_is_made_again(bench: &Bench) {
    let spec = bench.spec("exit 6");
    let data = bench.folders.data().display();
    let (agent, owner, data) = (
        format!("mosaic.agent={}", spec.agent),
        format!("mosaic.owner={}", spoke()),
        format!("mosaic.data={data}"),
    );
    let name = container(&spec);
    let labels = ["--label", &agent, "--label", &owner, "--label", &data];
    docker(
        &[
            &["create", "--name", &name],
            labels.as_slice(),
            &["mosaic-test", "true"],
        ]
        .concat(),
    );
    assert!(bench.sandbox.list().await.unwrap().contains(&spec.agent));
    let (spec, ending) = bench.run_spec(spec).await;
    assert_eq!(ending, Ending::Exit(6));
    bench.remove_for_good(&spec).await;
}

async fn another_spokes_containers_are_never_touched(bench: &Bench) {
    let spec = bench.running(": > ready; sleep 1000").await;
    let data = tempfile::tempdir().unwrap();
    let folders = Folders::new(data.path());
    folders.create().unwrap();
    let program = bench.folders.data().join("bin/supervise");
    // Another owner, and another spoke that has the same id but other data.
    for (owner, folders) in [
        ("other-spoke", &bench.folders),
        (spoke().as_str(), &folders),
    ] {
        let owner = owner.parse().unwrap();
        let other = Docker::probe(&owner, &settings(), folders, program.clone())
            .await
            .unwrap();
        assert_eq!(other.list().await.unwrap(), []);
        let removed = in_time(other.remove(&spec.agent, Duration::ZERO)).await;
        assert_eq!(removed.unwrap(), Removed::Missing);
        assert!(other.wait(&spec.agent).await.is_err());
    }
    assert_eq!(
        docker(&[
            "inspect",
            "--format",
            "{{.State.Status}}",
            &container(&spec)
        ]),
        "running\n"
    );
    bench.remove_for_good(&spec).await;
}

async fn a_container_killed_behind_the_spokes_back_is_told(bench: &Bench) {
    let spec = bench.running("echo word; : > ready; sleep 1000").await;
    docker(&["kill", &container(&spec)]);
    assert_eq!(bench.ending(&spec).await, Ending::Signal(9));
    assert_eq!(said(&spec), "word\n");
    bench.remove_for_good(&spec).await;
}

async fn a_container_removed_behind_the_spokes_back_is_told(bench: &Bench) {
    let spec = bench.running(": > ready; sleep 1000").await;
    let waiting = tokio::spawn({
        let (sandbox, agent) = (bench.sandbox.clone(), spec.agent.clone());
        async move { sandbox.wait(&agent).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    docker(&["rm", "-f", &container(&spec)]);
    let ending = in_time(waiting).await.unwrap().unwrap();
    assert!(
        matches!(ending, Ending::Unknown(_) | Ending::Signal(9)),
        "{ending:?}"
    );
    assert_eq!(bench.remove(&spec).await.unwrap(), Removed::Missing);
}

async fn a_paused_container_is_removed(bench: &Bench) {
    let spec = bench.running(": > ready; sleep 1000").await;
    docker(&["pause", &container(&spec)]);
    bench.remove_for_good(&spec).await;
}

async fn output_goes_on_without_gap_or_repetition_for_a_spoke_that_came_back(bench: &Bench) {
    let script = ": > ready; for at in $(seq 1 400); do echo $at; echo $at >&2; sleep 0.01; done";
    let spec = bench.running(script).await;
    for _ in 0..3 {
        let again = bench.again().await; // each follows for a while, and is dropped in the middle
        let wait = again.wait(&spec.agent);
        drop(tokio::time::timeout(Duration::from_millis(300), wait).await);
    }
    assert_eq!(bench.ending(&spec).await, Ending::Exit(0));
    let all: String = (1..=400).map(|at| format!("{at}\n")).collect();
    assert_eq!(said(&spec), all);
    bench.remove_for_good(&spec).await;
}

async fn an_image_that_is_not_there_is_told(bench: &Bench) {
    let mut settings = settings();
    settings.image = "no-such-image".to_owned();
    let program = bench.folders.data().join("bin/supervise");
    let refused = Docker::probe(&spoke(), &settings, &bench.folders, program.clone()).await;
    let why = refused.unwrap_err();
    assert!(why.contains("there is no image no-such-image"), "{why}");
    settings.socket = bench.folders.data().join("no.sock");
    let refused = Docker::probe(&spoke(), &settings, &bench.folders, program).await;
    assert!(refused.unwrap_err().contains("no.sock"));
    let spec = SandboxSpec {
        image: Some("no-such-image".to_owned()),
        ..bench.spec("exit 0")
    };
    let failed = bench.sandbox.ensure(&spec).await.unwrap_err();
    assert!(failed.to_string().contains("no-such-image"), "{failed}");
    assert_eq!(bench.remove(&spec).await.unwrap(), Removed::Missing);
}

/// A door that fails exactly what fetches an image tells who tries.
async fn an_image_is_fetched_only_where_that_is_allowed(bench: &Bench) {
    let door = EngineDoor::open();
    door.fail("POST /images/create");
    let program = bench.folders.data().join("bin/supervise");
    let mut settings = settings();
    settings.image = "no-such-image".to_owned();
    settings.socket = door.socket().to_owned();
    for (pull, said) in [
        (false, "there is no image no-such-image"),
        (
            true,
            "cannot be fetched: the engine fails, as it was told to",
        ),
    ] {
        settings.pull = pull;
        let refused = Docker::probe(&spoke(), &settings, &bench.folders, program.clone()).await;
        let why = refused.unwrap_err();
        assert!(why.contains(said), "{why}");
    }
}

async fn only_an_agent_with_a_network_reaches_beyond_itself(bench: &Bench) {
    let devices = "ls /sys/class/net | sort | tr '\\n' ' '";
    let (alone, _) = bench.run(devices).await;
    assert_eq!(said(&alone), "lo ");
    let spec = SandboxSpec {
        network: Network::Host,
        ..bench.spec(devices)
    };
    let (spec, _) = bench.run_spec(spec).await;
    assert_eq!(said(&spec), "eth0 lo ");
    bench.remove_for_good(&spec).await;
    let left = docker(&["network", "ls", "--format", "{{.Name}}"]);
    let ours = format!("mosaic-{}-{}", spoke(), bench.folders.fingerprint());
    assert!(left.lines().all(|name| name != ours), "{left}");
}

/// An engine lets two of one name be made at the same moment, and then knows neither by it.
async fn agents_that_start_at_once_share_one_network(bench: &Bench) {
    let ours = format!("mosaic-{}-{}", spoke(), bench.folders.fingerprint());
    let networks = || {
        let all = docker(&["network", "ls", "--format", "{{.Name}}"]);
        all.lines().filter(|name| *name == ours).count()
    };
    for _ in 0..3 {
        let spec = || SandboxSpec {
            network: Network::Host,
            ..bench.spec("true")
        };
        let ran = tokio::join!(
            bench.run_spec(spec()),
            bench.run_spec(spec()),
            bench.run_spec(spec()),
            bench.run_spec(spec()),
        );
        assert_eq!(networks(), 1);
        for (spec, ending) in [ran.0, ran.1, ran.2, ran.3] {
            assert_eq!(ending, Ending::Exit(0));
            bench.remove_for_good(&spec).await;
        }
        assert_eq!(networks(), 0);
    }
}

async fn an_engine_that_cannot_be_asked_proves_nothing(bench: &Bench) {
    let door = EngineDoor::open();
    let mut settings = settings();
    settings.socket = door.socket().to_owned();
    let program = env!("CARGO_BIN_EXE_orchestrator").into();
    let docker = Docker::probe(&spoke(), &settings, &bench.folders, program).await;
    let docker = docker.unwrap();
    let spec = bench.spec("exec sleep 1000");
    docker.ensure(&spec).await.unwrap();
    for request in ["GET /containers/", "POST /containers/"] {
        door.fail(request);
        let error = docker
            .remove(&spec.agent, Duration::ZERO)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Alive(_)), "{request}: {error}");
        door.mend();
    }
    assert!(docker.list().await.unwrap().contains(&spec.agent));
    let removed = docker.remove(&spec.agent, Duration::ZERO).await.unwrap();
    assert!(matches!(removed, Removed::Dead(_)), "{removed:?}");
}

/// Neither the image's entry point, nor its variables, nor its volumes and health checks.
async fn nothing_of_an_image_runs_but_what_was_asked_for(bench: &Bench) {
    let image = format!("mosaic-test-hostile-{}", std::process::id());
    let changes = [
        "ENTRYPOINT [\"touch\", \"/tmp/entry\"]",
        "ENV LD_PRELOAD=/evil.so BASH_ENV=/evil.sh",
        "USER root",
        "VOLUME /evil",
        "HEALTHCHECK --interval=1s CMD touch /tmp/health",
    ];
    let made = docker(&["create", "mosaic-test", "true"]);
    let changes = changes.iter().flat_map(|change| ["--change", change]);
    let arguments: Vec<&str> = ["commit"]
        .into_iter()
        .chain(changes)
        .chain([made.trim(), &image])
        .collect();
    docker(&arguments);
    docker(&["rm", made.trim()]);
    let spec = SandboxSpec {
        image: Some(image.clone()),
        limits: Limits::default(),
        ..bench.spec("sleep 1.5; env | grep -c evil; id -u; ls /tmp")
    };
    let (spec, ending) = bench.run_spec(spec).await;
    let owner = spec.owner.unwrap();
    assert_eq!(
        (said(&spec), ending),
        (format!("0\n{owner}\n"), Ending::Exit(0))
    );
    bench.remove_for_good(&spec).await;
    docker(&["rmi", &image]);
}
