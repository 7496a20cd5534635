//! `federation-gateway` as a program: what `--check-config` finds, and the documented example.

use crate::world::{config, data_folder, write_connections};
use federation_gateway::config::{Config, Flags};
use federation_gateway::{Hub, StartError};
use mosaic_federation::connection::ConnectionState;
use std::path::Path;
use std::process::{Command, Output};

fn check(file: &Path, more: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_federation-gateway"));
    program.env_clear().arg("--config").arg(file).args(more);
    program.arg("--check-config").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_good_configuration_is_told_and_exits_0() {
    let (folder, identity, _) = data_folder().await;
    let spoke = crate::spoke::Spoke::new("a", ConnectionState::Active, &identity);
    write_connections(folder.path(), std::slice::from_ref(&spoke.peer));
    let file = folder.path().join("hub.toml");
    std::fs::write(&file, format!("data = {:?}", folder.path())).unwrap();
    let output = check(&file, &[]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in [
        "hub hub-test",
        "127.0.0.1:7600, no TLS",
        "tokens: 2",
        "site a: spoke-a at 127.0.0.1:1, active",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_told_with_its_place_and_exits_2() {
    let (folder, _, _) = data_folder().await;
    let data = format!("data = {:?}\n", folder.path());
    let empty = tempfile::tempdir().unwrap();
    let tls =
        "listen = '0.0.0.0:7600'\n[tls]\ncertificate = '/nowhere.pem'\nkey = '/nowhere.pem'\n";
    let table: [(String, &[&str], &str); 10] = [
        ("data = 7".into(), &[], "line 1"),
        (format!("{data}lisen = 'x'"), &[], "lisen"),
        (format!("{data}[log]\nfilter = 'a=b=c'"), &[], "log.filter"),
        (
            format!("{data}[limits]\nstreams = 0"),
            &[],
            "hub.toml: line 3: limits.streams",
        ),
        (
            format!("{data}command_days = 0"),
            &[],
            "hub.toml: line 2: command_days",
        ),
        (
            format!("{data}listen = '0.0.0.0:7600'"),
            &[],
            "insecure_listen",
        ),
        (format!("{data}{tls}"), &[], "/nowhere.pem"),
        (data.clone(), &["--listen", "[::]:7600"], "insecure_listen"),
        (data.clone(), &["--listen", "here"], "--listen"),
        (format!("data = {:?}", empty.path()), &[], "identity"),
    ];
    let file = folder.path().join("hub.toml");
    for (toml, flags, part) in table {
        std::fs::write(&file, &toml).unwrap();
        let output = check(&file, flags);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{toml}: {told}");
        assert!(told.contains(part), "{toml}: {part} in {told}");
    }
    std::fs::write(&file, &data).unwrap();
    std::fs::write(
        folder.path().join("connections.toml"),
        "[[connection]]\nid = '../x'",
    )
    .unwrap();
    let told = text(&check(&file, &[]).stderr);
    assert!(
        told.contains("connections.toml: line 2: connection.id"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(empty.path()).unwrap().count(),
        0,
        "a check writes nothing"
    );
}

#[tokio::test]
async fn beyond_its_machine_a_hub_needs_a_token_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    mosaic_federation::identity::Identity::generate(&identity, "hub".parse().unwrap()).unwrap();
    write_connections(folder.path(), &[]);
    let mut exposed = config(folder.path());
    exposed.listen = ([0, 0, 0, 0], 0).into();
    let pem = |name: &str| identity.join(name);
    exposed.tls = Some(federation_gateway::config::Tls {
        certificate: pem("tls.crt"),
        key: pem("tls.key"),
    });
    let refused = Hub::start(exposed.clone()).await.unwrap_err();
    assert!(matches!(refused, StartError::Config(_)), "{refused}");
    assert!(
        refused.to_string().contains("mosaic token create"),
        "{refused}"
    );
    exposed.insecure_listen = true;
    Hub::start(exposed).await.unwrap().stop().await;
}

#[tokio::test]
async fn connections_are_read_again_and_a_wrong_file_changes_nothing() {
    let world = crate::world::World::new(&["a"]).await;
    let mut client = world.admin().await;
    crate::world::spawned(&mut client, "a").await;
    let file = world.folder.path().join("connections.toml");
    std::fs::write(&file, "nonsense").unwrap();
    assert!(world.hub.reload().is_err());
    crate::world::spawned(&mut client, "a").await;
    let mut peer = world.spoke("a").peer.clone();
    peer.state = ConnectionState::Revoked;
    write_connections(world.folder.path(), &[peer]);
    world.hub.reload().unwrap();
    let refused = client.spawn(crate::world::spawn("a")).await;
    assert_eq!(
        crate::world::reason(refused),
        mosaic_common::Reason::SiteNotActive
    );
}

#[test]
fn the_documented_example_is_a_configuration_and_says_the_defaults() {
    let example = include_str!("../../../../deploy/hub.toml");
    // Every line that only shows a default is commented out with `#` and no blank after it.
    let whole: String = example
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with([' ', '#']) && !rest.is_empty())
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let shown = Config::parse(&whole, "deploy/hub.toml".into())
        .unwrap()
        .check()
        .unwrap();
    let plain = Config::parse(example, "deploy/hub.toml".into())
        .unwrap()
        .check()
        .unwrap();
    assert_eq!(shown.identity_folder(), plain.identity_folder());
    assert_eq!(shown.connections_file(), plain.connections_file());
    assert_eq!(
        format!("{:?}", (shown.limits, shown.log, shown.command_days)),
        format!("{:?}", (plain.limits, plain.log, plain.command_days))
    );
    assert_eq!(
        (shown.listen, shown.insecure_listen),
        (plain.listen, plain.insecure_listen)
    );
    assert!(shown.tls.is_some() && plain.tls.is_none());
}

#[test]
fn every_flag_has_a_variable_and_a_word_of_help() {
    use clap::CommandFactory;
    for flag in Flags::command().get_arguments() {
        let name = flag.get_id().as_str();
        assert!(flag.get_help().is_some(), "{name}");
        if !["check_config", "help", "version"].contains(&name) {
            assert!(
                flag.get_env()
                    .is_some_and(|env| env.to_string_lossy().starts_with("MOSAIC_")),
                "{name}"
            );
        }
    }
}

/// A hub as a process; killed when the test is over, however it ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn the_program_serves_rereads_on_sighup_stops_on_sigterm_and_logs_no_token() {
    use std::io::BufRead;
    let (folder, _, [admin, _]) = data_folder().await;
    let file = folder.path().join("hub.toml");
    std::fs::write(
        &file,
        format!("data = {:?}\nlisten = '127.0.0.1:0'", folder.path()),
    )
    .unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_federation-gateway"));
    program
        .env_clear()
        .env("MOSAIC_LOG_FORMAT", "json")
        .env("MOSAIC_LOG", "trace");
    program
        .arg("--config")
        .arg(&file)
        .stderr(std::process::Stdio::piped());
    let mut hub = Running(program.spawn().unwrap());
    let pid = hub.0.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    let mut lines = std::io::BufReader::new(hub.0.stderr.take().unwrap()).lines();
    let mut log = String::new();
    let mut read_to = |text: &str| {
        let found = lines
            .by_ref()
            .map(Result::unwrap)
            .inspect(|line| log.push_str(line));
        let mut found = found.skip_while(|line| !line.contains(text));
        found
            .next()
            .unwrap_or_else(|| panic!("no line says {text}"))
    };
    let line: serde_json::Value = serde_json::from_str(&read_to("hub serves")).unwrap();
    let address = line["fields"]["address"].as_str().unwrap().to_owned();
    let mut client = crate::world::connect_to(&address, &admin).await;
    let refused = client.spawn(crate::world::spawn("")).await;
    assert_eq!(
        crate::world::reason(refused),
        mosaic_common::Reason::SiteNotActive
    );
    signal("-HUP");
    read_to("connections read again");
    drop(client);
    signal("-TERM");
    // Beside the test, whose client has its connection to close.
    let ended = tokio::task::spawn_blocking(move || hub.0.wait().unwrap().code());
    assert_eq!(ended.await.unwrap(), Some(0));
    assert!(!log.contains(admin.trim_start_matches("mst_")));
}
