//! The local operator's door of a real spoke: who comes in, and what becomes of bad input.

use hyper_util::rt::TokioIo;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use mosaic_common::proto::federation::v1 as fed;
use mosaic_common::proto::federation::v1::operator_service_client::OperatorServiceClient;
use mosaic_common::{Reason, Refusal};
use mosaic_federation::identity::Identity;
use orchestrator::Spoke;
use orchestrator::config::Config;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

/// A spoke with one profile and no repository, serving its operator only.
struct Door {
    folder: tempfile::TempDir,
    spoke: Spoke,
}

impl Door {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Identity::generate(&data.join("identity"), "spoke".parse().unwrap()).unwrap();
        std::fs::write(data.join("connections.toml"), "").unwrap();
        let text = format!(
            "name = 'here'\ndata = '{}'\nsandboxes = ['process']\ndefault_profile = 'command'\n\
             [profiles.command]\nkind = 'command'\nargv = ['/bin/sh']\n",
            data.display()
        );
        let spoke = Spoke::start(Config::parse(&text, "spoke.toml".into()).unwrap())
            .await
            .unwrap();
        Self { folder, spoke }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("data/spoke.sock")
    }

    async fn channel(&self) -> Channel {
        connect(&self.socket()).await
    }
}

pub(crate) async fn connect(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let dial = move |_: Uri| {
        let socket = socket.clone();
        async move {
            Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(socket).await?))
        }
    };
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(dial))
        .await
        .unwrap()
}

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status)
        .unwrap_or_else(|| panic!("no reason: {status:?}"))
        .reason
}

fn spec(change: impl FnOnce(&mut pb::AgentSpec)) -> pb::SpawnRequest {
    let mut spec = pb::AgentSpec {
        task: "true".into(),
        ..Default::default()
    };
    change(&mut spec);
    pb::SpawnRequest {
        spec: Some(spec),
        ..Default::default()
    }
}

#[tokio::test]
async fn bad_spawns_have_their_reason_and_nothing_is_half_done() {
    let door = Door::open().await;
    let mut client = AgentServiceClient::new(door.channel().await);
    let hostile = "a\n\u{1b}[2J\0/../é";
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let limits = |wall_clock| {
        Some(pb::Limits {
            wall_clock,
            ..Default::default()
        })
    };
    let table: Vec<(pb::SpawnRequest, Reason)> = vec![
        (pb::SpawnRequest::default(), Reason::InvalidRequest),
        (
            spec(|spec| spec.agent_id = hostile.into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.task_id = hostile.into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.repository = "--upload-pack=sh".into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.base_ref = "a..b".into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.profile = "../sh".into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.sandbox = hostile.into()),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.task = "x".repeat(40_000)),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| drop(spec.labels.insert("k".into(), hostile.into()))),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.limits = limits(span(-1))),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.limits = limits(span(i64::MIN))),
            Reason::InvalidRequest,
        ),
        (
            spec(|spec| spec.repository = "nowhere".into()),
            Reason::RepositoryUnknown,
        ),
        (
            spec(|spec| spec.profile = "nobody".into()),
            Reason::ProfileUnknown,
        ),
        (
            spec(|spec| spec.sandbox = "docker".into()),
            Reason::SandboxUnavailable,
        ),
        (
            pb::SpawnRequest {
                command_id: "xyz".into(),
                ..spec(|_| ())
            },
            Reason::InvalidRequest,
        ),
        (
            pb::SpawnRequest {
                site: "elsewhere".into(),
                ..spec(|_| ())
            },
            Reason::SiteUnknown,
        ),
    ];
    for (request, expected) in table {
        let status = client.spawn(request.clone()).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{request:?}");
        assert!(!status.message().contains('\u{1b}'), "{}", status.message());
    }
    let listed = client
        .list(pb::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(listed.agents.is_empty());
    assert_eq!(
        std::fs::read_dir(door.folder.path().join("data/agents"))
            .unwrap()
            .count(),
        0
    );
    door.spoke.stop().await;
}

#[tokio::test]
async fn bad_requests_about_agents_have_their_reason() {
    let door = Door::open().await;
    let mut client = AgentServiceClient::new(door.channel().await);
    let unknown = "ag_abcdefghijklmnopqrstuvwxyz".to_owned();
    let get = |agent_id: &str| pb::GetRequest {
        agent_id: agent_id.into(),
        ..Default::default()
    };
    assert_eq!(
        reason(&client.get(get("no id")).await.unwrap_err()),
        Reason::InvalidRequest
    );
    assert_eq!(
        reason(&client.get(get(&unknown)).await.unwrap_err()),
        Reason::AgentNotFound
    );
    let kill = pb::KillRequest {
        agent_id: unknown.clone(),
        ..Default::default()
    };
    let grace = Some(prost_types::Duration {
        seconds: 301,
        nanos: 0,
    });
    let bad = [
        pb::KillRequest {
            agent_id: String::new(),
            ..kill.clone()
        },
        pb::KillRequest {
            reason: "a\nb".into(),
            ..kill.clone()
        },
        pb::KillRequest {
            reason: "x".repeat(257),
            ..kill.clone()
        },
        pb::KillRequest {
            grace,
            ..kill.clone()
        },
    ];
    for request in bad {
        assert_eq!(
            reason(&client.kill(request).await.unwrap_err()),
            Reason::InvalidRequest
        );
    }
    let list = pb::ListRequest {
        states: vec![99],
        ..Default::default()
    };
    assert_eq!(
        reason(&client.list(list).await.unwrap_err()),
        Reason::InvalidRequest
    );
    let list = pb::ListRequest {
        page_token: "x".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(&client.list(list).await.unwrap_err()),
        Reason::InvalidRequest
    );
    let logs = pb::LogsRequest {
        agent_id: unknown.clone(),
        ..Default::default()
    };
    assert_eq!(
        reason(&client.logs(logs).await.unwrap_err()),
        Reason::AgentNotFound
    );
    let result = pb::ResultRequest {
        agent_id: unknown,
        ..Default::default()
    };
    assert_eq!(
        reason(&client.result(result).await.unwrap_err()),
        Reason::AgentNotFound
    );
    door.spoke.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_spoke_goes_on() {
    let door = Door::open().await;
    let mut client = AgentServiceClient::new(door.channel().await);
    let huge = spec(|spec| spec.task = "x".repeat(1024 * 1024));
    let status = client.spawn(huge).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
    assert!(client.list(pb::ListRequest::default()).await.is_ok());
    door.spoke.stop().await;
}

#[tokio::test]
async fn the_local_operators_commands_are_recorded_with_their_outcome() {
    let door = Door::open().await;
    let mut client = AgentServiceClient::new(door.channel().await);
    client.release(pb::ReleaseRequest::default()).await.unwrap();
    client
        .spawn(spec(|spec| spec.profile = "nobody".into()))
        .await
        .unwrap_err();
    let mut operator = OperatorServiceClient::new(door.channel().await);
    let seen = loop {
        let listed = operator
            .list_commands(fed::ListCommandsRequest::default())
            .await
            .unwrap()
            .into_inner();
        let outcomes: Vec<_> = listed
            .commands
            .iter()
            .map(|command| (command.kind(), command.outcome()))
            .collect();
        if outcomes
            .iter()
            .all(|(_, outcome)| *outcome != fed::CommandOutcome::Pending)
            && outcomes.len() == 2
        {
            break listed.commands;
        }
    };
    let refused = seen
        .iter()
        .find(|command| command.kind() == fed::CommandKind::Spawn)
        .unwrap();
    assert_eq!(refused.outcome(), fed::CommandOutcome::Refused);
    assert_eq!(refused.reason_code, "PROFILE_UNKNOWN");
    assert!(refused.on_behalf_of.starts_with("local:"));
    door.spoke.stop().await;
}

#[tokio::test]
async fn only_its_own_user_can_open_the_socket_and_a_second_spoke_cannot_take_it() {
    let door = Door::open().await;
    let mode = door.socket().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = orchestrator::listener::LocalListener::bind(&door.socket())
        .await
        .unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    let socket = door.socket();
    door.spoke.stop().await;
    assert!(!socket.exists(), "its file goes with it");
    std::fs::write(&socket, "not a socket").unwrap();
    let refused = orchestrator::listener::LocalListener::bind(&socket)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
}
