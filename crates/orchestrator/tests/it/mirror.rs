//! A whole spoke beside a real Valkey server that dies in mid-run: the agents do not notice, and
//! what other programs read is complete again when it is back.

use crate::site::{Site, name, until};
use mosaic_common::agent::Event;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_testkit::valkey::{AppendOnly, Client, Server};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

fn entries(client: &mut Client) -> Vec<(String, Value)> {
    let stream = client
        .stream(&format!("mosaic:events:{}", name()))
        .into_iter();
    stream
        .map(|(id, json)| (id, serde_json::from_str(&json).unwrap()))
        .collect()
}

fn live_key(client: &mut Client, agent: &str) -> String {
    client
        .call(&["GET", &format!("mosaic:agent:{agent}")])
        .text()
}

/// The stream tells what the log tells: each event once, in order, by its sequence.
fn assert_same(stream: &[(String, Value)], log: &[(u64, Event)]) {
    let brief = |sequence: u64, event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        (
            format!("{sequence}-0"),
            text("type"),
            text("agentId"),
            text("timestamp"),
        )
    };
    let of_stream: Vec<_> = stream
        .iter()
        .map(|(id, entry)| {
            let sequence = entry["sequence"].as_u64().unwrap();
            assert_eq!(*id, format!("{sequence}-0"));
            brief(sequence, entry)
        })
        .collect();
    let of_log: Vec<_> = log
        .iter()
        .map(|(sequence, event)| brief(*sequence, &serde_json::to_value(event).unwrap()))
        .collect();
    assert_eq!(of_stream, of_log);
    let sequences: Vec<u64> = log.iter().map(|(sequence, _)| *sequence).collect();
    let head = u64::try_from(log.len()).unwrap();
    assert_eq!(sequences, Vec::from_iter(1..=head));
}

async fn killed_in_mid_run(append_only: AppendOnly) {
    let Some(mut server) = Server::start(append_only) else {
        return;
    };
    let mut site = Site::start(&server.url(), &[]).await;
    let (gate, task) = site.gate("gate");
    let during = site.spawn(&task).await; // ends while the server is away
    let killed = site.spawn("sleep 1000").await;
    let after = site.spawn("sleep 1001").await; // outlives the server
    let mut client = server.client();
    until("three agents run", || {
        let running = |(_, entry): &(String, Value)| entry["type"] == "agent.running";
        entries(&mut client)
            .iter()
            .filter(|entry| running(entry))
            .count()
            == 3
    })
    .await;
    let shown: Value = serde_json::from_str(&live_key(&mut client, &after)).unwrap();
    assert_eq!(
        (&shown["state"], &shown["site"]),
        (&"running".into(), &name().into())
    );

    server.kill();
    std::fs::write(gate, "").unwrap();
    assert_eq!(site.ended(&during).await, pb::AgentState::Completed);
    site.kill(&killed).await;
    assert_eq!(site.ended(&killed).await, pb::AgentState::Killed);
    let meanwhile = site.spawn("exit 3").await;
    assert_eq!(site.ended(&meanwhile).await, pb::AgentState::Failed);

    server.run();
    let mut client = server.client();
    until("the missed events are there", || {
        let cleaned = |(_, entry): &(String, Value)| entry["type"] == "agent.cleanup";
        entries(&mut client)
            .iter()
            .filter(|entry| cleaned(entry))
            .count()
            == 3
    })
    .await;
    assert_same(&entries(&mut client), &site.log().await);
    for agent in [&during, &killed, &meanwhile] {
        assert_eq!(live_key(&mut client, agent), "", "{agent} has ended");
    }
    assert!(live_key(&mut client, &after).contains("running"));

    // Its cleanup is the last thing that happens, and is there when the spoke has stopped.
    let mut subscriber = server.client();
    subscriber.call(&["SUBSCRIBE", "mosaic:events"]);
    site.stop();
    let told = entries(&mut client);
    let (_, last) = told.last().unwrap();
    assert_eq!(
        (&last["type"], &last["agentId"]),
        (&"agent.cleanup".into(), &after.clone().into())
    );
    assert_eq!(last["taskId"], "nightly");
    assert_eq!(last["cleanup"]["docker"], true);
    assert_eq!(last["cleanup"]["worktree"], false);
    assert_eq!(last["detail"]["worktree"], "skipped: no repository");
    assert_eq!(last["cleanup"]["state"], true);
    assert_eq!(live_key(&mut client, &after), "");
    while serde_json::from_str::<Value>(&subscriber.message()).unwrap() != *last {}
    // Once for the outage, however often it was tried.
    assert_eq!(site.said("Valkey is not up to date"), 1);
    assert_eq!(site.said("Valkey is up to date again"), 1);
    assert_eq!(site.said("fred"), 0, "its client says nothing of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_go_on_while_valkey_is_killed_and_it_tells_all_afterwards_with_append_only() {
    killed_in_mid_run(AppendOnly::Yes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_go_on_while_valkey_is_killed_and_it_tells_all_afterwards_without_append_only() {
    killed_in_mid_run(AppendOnly::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoke_starts_runs_kills_and_stops_without_the_valkey_it_was_told_of() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // It accepts and never answers, which is worse than nobody.
    let url = format!("redis://{}", nobody.local_addr().unwrap());
    let mut site = Site::start(&url, &[]).await;
    let agent = site.spawn("sleep 1000").await;
    site.kill(&agent).await;
    assert_eq!(site.ended(&agent).await, pb::AgentState::Killed);
    let begun = Instant::now();
    site.stop();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

/// A certificate and its key for 127.0.0.1, as files of a folder.
fn certificate(folder: &std::path::Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    (text(certificate), text(key))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_server_is_spoken_to_only_if_its_certificate_is_trusted() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(files.path());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let tls = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let trust = [
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &certificate,
    ];
    let Some(server) = Server::start_with(AppendOnly::No, &[&tls[..], &trust[..]].concat()) else {
        return;
    };
    let url = format!("rediss://127.0.0.1:{port}/0");
    let mut client = server.client();

    let mut stranger = Site::start(&url, &[]).await;
    let agent = stranger.spawn("true").await;
    assert_eq!(stranger.ended(&agent).await, pb::AgentState::Completed);
    stranger.stop();
    assert_eq!(stranger.said("cannot connect to rediss://"), 1);
    assert_eq!(entries(&mut client), []);

    let mut site = Site::start(&url, &[("SSL_CERT_FILE", &certificate)]).await;
    let agent = site.spawn("true").await;
    assert_eq!(site.ended(&agent).await, pb::AgentState::Completed);
    site.stop();
    assert_same(&entries(&mut client), &site.log().await);
    assert!(!entries(&mut client).is_empty());
}
