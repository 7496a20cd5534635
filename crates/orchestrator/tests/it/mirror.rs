//! A whole spoke beside a real Valkey server that dies in mid-run: the agents do not notice, and
//! what other programs read is complete again when it is back.

use crate::doors::connect;
use mosaic_common::agent::Event;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_federation::identity::Identity;
use mosaic_store::EmbeddedStore;
use mosaic_testkit::valkey::{AppendOnly, Client, Server};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;

/// The site's name: one per test process, so that tests do not meet in a control group.
fn name() -> String {
    format!("mirror-{}", std::process::id())
}

/// Longer than any agent or pause here takes.
const LONG: Duration = Duration::from_secs(60);

/// A spoke that is mirrored: the real program, since agents run under a copy of it.
struct Site {
    folder: tempfile::TempDir,
    spoke: Child,
    client: AgentServiceClient<Channel>,
}

impl Site {
    async fn start(url: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Identity::generate(&data.join("identity"), "spoke".parse().unwrap()).unwrap();
        std::fs::write(data.join("connections.toml"), "").unwrap();
        let text = format!(
            "name = '{}'\ndata = '{}'\nsandboxes = ['process']\ndefault_profile = 'command'\n\
             [profiles.command]\nkind = 'command'\nargv = ['/bin/sh']\n[valkey]\nurl = '{url}'\n",
            name(),
            data.display()
        );
        let config = folder.path().join("spoke.toml");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let spoke = Command::new(env!("CARGO_BIN_EXE_orchestrator"))
            .arg("--config")
            .arg(config)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let socket = data.join("spoke.sock");
        until("the spoke serves", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
        let client = AgentServiceClient::new(connect(&socket).await);
        Self {
            folder,
            spoke,
            client,
        }
    }

    async fn spawn(&mut self, task: &str) -> String {
        let spec = pb::AgentSpec {
            task: task.into(),
            task_id: "nightly".into(),
            ..Default::default()
        };
        let request = pb::SpawnRequest {
            spec: Some(spec),
            ..Default::default()
        };
        let answer = self.client.spawn(request).await.unwrap().into_inner();
        answer.agent.unwrap().agent_id
    }

    /// A file that agents wait for.
    fn gate(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let task = format!("while [ ! -e '{}' ]; do sleep 0.02; done", path.display());
        (path, task)
    }

    async fn kill(&mut self, agent_id: &str) {
        let request = pb::KillRequest {
            agent_id: agent_id.into(),
            reason: "enough".into(),
            ..Default::default()
        };
        self.client.kill(request).await.unwrap();
    }

    /// Waits until the spoke says that an agent has ended.
    async fn ended(&mut self, agent_id: &str) -> pb::AgentState {
        let begun = Instant::now();
        loop {
            let request = pb::GetRequest {
                agent_id: agent_id.into(),
                ..Default::default()
            };
            let agent = self.client.get(request).await.unwrap().into_inner().agent;
            let state = agent.unwrap().state();
            if matches!(
                state,
                pb::AgentState::Completed | pb::AgentState::Failed | pb::AgentState::Killed
            ) {
                return state;
            }
            assert!(begun.elapsed() < LONG, "{agent_id} is {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the spoke to stop, and waits for it.
    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.spoke);
        // An error says that it has stopped already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.spoke.wait().unwrap();
    }

    /// What it said, about a thing.
    fn said(&self, about: &str) -> usize {
        let said = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        said.lines().filter(|line| line.contains(about)).count()
    }

    /// The spoke's own log of events, the truth.
    async fn log(&self) -> Vec<(u64, Event)> {
        let reader = EmbeddedStore::open_read_only(&self.folder.path().join("data/store")).unwrap();
        let events = reader.events(0, 10_000).await.unwrap().events;
        let parsed = events
            .into_iter()
            .map(|(sequence, event)| (sequence, serde_json::from_slice(&event).unwrap()));
        parsed.collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop(); // so that its agents end also when a test fails
    }
}

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

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
