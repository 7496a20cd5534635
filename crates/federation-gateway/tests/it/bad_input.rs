//! What clients can get wrong: each is refused with its reason and its field, and nothing is sent,
//! recorded or remembered.

use crate::world::{World, reason, spawn};
use http::uri::PathAndQuery;
use mosaic_common::proto::MAX_MESSAGE;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{Reason, Refusal};
use prost::bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

const ID: &str = "ag_aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn with(change: impl FnOnce(&mut pb::SpawnRequest)) -> pb::SpawnRequest {
    let mut request = spawn("");
    change(&mut request);
    request
}

fn spec(change: impl FnOnce(&mut pb::AgentSpec)) -> pb::SpawnRequest {
    with(|request| change(request.spec.as_mut().unwrap()))
}

/// Nothing was sent and nothing recorded.
async fn untouched(world: &World) {
    assert_eq!(world.spoke("a").received().len(), 0);
    assert_eq!(world.commands().await, []);
}

/// The field that a refusal names.
fn field<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.expect_err("a refusal");
    let refusal = Refusal::from_status(&status).expect("a reason");
    assert_eq!(refusal.reason, Reason::InvalidRequest, "{refusal}");
    assert!(
        !refusal.message.chars().any(char::is_control),
        "{refusal:?}"
    );
    let (field, _) = refusal.message.split_once(':').unwrap_or_default();
    field.to_owned()
}

#[tokio::test]
async fn each_malformed_field_of_a_spawn_is_named_and_nothing_is_done() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let spawns = [
        ("site", with(|request| request.site = "../a".into())),
        ("site", with(|request| request.site = "a\n".into())),
        (
            "command_id",
            with(|request| request.command_id = "7".into()),
        ),
        (
            "command_id",
            with(|request| request.command_id = "Z".repeat(32)),
        ),
        ("spec", with(|request| request.spec = None)),
        ("spec.agent_id", spec(|spec| spec.agent_id = "ag_..".into())),
        (
            "spec.task_id",
            spec(|spec| spec.task_id = "\u{1b}[31m".into()),
        ),
        (
            "spec.repository",
            spec(|spec| spec.repository = "https://x/y".into()),
        ),
        (
            "spec.base_ref",
            spec(|spec| spec.base_ref = "--upload-pack=x".into()),
        ),
        ("spec.profile", spec(|spec| spec.profile = "/bin/sh".into())),
        ("spec.sandbox", spec(|spec| spec.sandbox = "a b".into())),
        ("spec.task", spec(|spec| spec.task = "x".repeat(33 * 1024))),
        (
            "spec.labels",
            spec(|spec| drop(spec.labels.insert("A".into(), String::new()))),
        ),
    ];
    for (name, request) in spawns {
        assert_eq!(field(client.spawn(request).await), name);
    }
    untouched(&world).await;
}

#[tokio::test]
async fn each_malformed_field_of_a_list_is_named_and_nothing_is_done() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let list = pb::ListRequest::default;
    let lists = [
        (
            "states",
            pb::ListRequest {
                states: vec![99],
                ..list()
            },
        ),
        (
            "states",
            pb::ListRequest {
                states: vec![0],
                ..list()
            },
        ),
        (
            "task_id",
            pb::ListRequest {
                task_id: "a b".into(),
                ..list()
            },
        ),
        (
            "labels",
            pb::ListRequest {
                labels: [("É".to_owned(), String::new())].into(),
                ..list()
            },
        ),
        (
            "page_token",
            pb::ListRequest {
                page_token: "zz".into(),
                ..list()
            },
        ),
        (
            "site",
            pb::ListRequest {
                site: "a/b".into(),
                ..list()
            },
        ),
    ];
    for (name, request) in lists {
        assert_eq!(field(client.list(request).await), name);
    }
    untouched(&world).await;
}

#[tokio::test]
async fn each_malformed_field_of_a_kill_is_named_and_nothing_is_done() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let kill = || pb::KillRequest {
        agent_id: ID.into(),
        ..Default::default()
    };
    let backwards = prost_types::Duration {
        seconds: -1,
        nanos: 0,
    };
    let kills = [
        (
            "agent_id",
            pb::KillRequest {
                agent_id: String::new(),
                ..kill()
            },
        ),
        (
            "grace",
            pb::KillRequest {
                grace: Some(backwards),
                ..kill()
            },
        ),
        (
            "reason",
            pb::KillRequest {
                reason: "x".repeat(257),
                ..kill()
            },
        ),
        (
            "reason",
            pb::KillRequest {
                reason: "a\r\nb".into(),
                ..kill()
            },
        ),
        (
            "command_id",
            pb::KillRequest {
                command_id: "x".into(),
                ..kill()
            },
        ),
    ];
    for (name, request) in kills {
        assert_eq!(field(client.kill(request).await), name);
    }
    let all = pb::KillAllRequest {
        reason: "\0".into(),
        ..Default::default()
    };
    assert_eq!(field(client.kill_all(all).await), "reason");
    untouched(&world).await;
}

#[tokio::test]
async fn each_malformed_field_of_what_only_reads_is_named_and_nothing_is_done() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let get = pb::GetRequest {
        agent_id: "ag_".into(),
        ..Default::default()
    };
    assert_eq!(field(client.get(get).await), "agent_id");
    let result = pb::ResultRequest {
        agent_id: ID.into(),
        format: 9,
        ..Default::default()
    };
    assert_eq!(field(client.result(result).await), "format");
    let watch = pb::WatchRequest {
        agent_id: "x".into(),
        ..Default::default()
    };
    assert_eq!(field(client.watch(watch).await), "agent_id");
    untouched(&world).await;
}

/// Sends bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[tokio::test]
async fn bytes_that_are_no_request_and_requests_too_large_have_a_reason_too() {
    let world = World::new(&["a"]).await;
    let mut client = tonic::client::Grpc::new(world.channel().await);
    let table = [
        (Bytes::from_static(b"\xff\xff\xff"), Reason::InvalidRequest),
        (
            Bytes::from_static(b"\x0a\x02\xff\xfe"),
            Reason::InvalidRequest,
        ), // not UTF-8
        (
            Bytes::from(vec![0x0a; MAX_MESSAGE + 1]),
            Reason::RequestTooLarge,
        ),
    ];
    for (bytes, expected) in table {
        client.ready().await.unwrap();
        let mut request = Request::new(bytes);
        let header = format!("Bearer {}", world.admin).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
        let path = PathAndQuery::from_static("/mosaic.agent.v1.AgentService/Spawn");
        let answer = client.unary(request, path, Raw).await;
        assert_eq!(reason(answer), expected);
    }
    untouched(&world).await;
}
