//! Who may call what, over the wire.

use crate::world::{Bearer, World, reason, spawn, spawned};
use mosaic_common::Reason;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1 as fed;
use mosaic_common::proto::federation::v1::operator_service_client::OperatorServiceClient;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn without_a_token_nothing_is_answered_but_health() {
    let world = World::new(&["a"]).await;
    let never = format!("mst_{}", "0".repeat(64));
    for token in ["", "x", "mst_", never.as_str()] {
        let mut client = world.client(token).await;
        assert_eq!(reason(client.spawn(spawn("")).await), Reason::TokenInvalid);
        let list = pb::ListRequest::default();
        assert_eq!(reason(client.list(list).await), Reason::TokenInvalid);
        let watch = pb::WatchRequest::default();
        assert_eq!(reason(client.watch(watch).await), Reason::TokenInvalid);
        let bearer = Bearer(token.to_owned());
        let mut operator = OperatorServiceClient::with_interceptor(world.channel().await, bearer);
        let request = fed::ListConnectionsRequest {};
        let answer = operator.list_connections(request).await;
        assert_eq!(reason(answer), Reason::TokenInvalid);
    }
    let mut health = HealthClient::new(world.channel().await);
    for service in [
        "",
        "mosaic.agent.v1.AgentService",
        "mosaic.federation.v1.OperatorService",
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service:?} is serving");
    }
    assert_eq!(world.spoke("a").received().len(), 0);
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let world = World::new(&["a"]).await;
    let agent_id = spawned(&mut world.admin().await, "a").await;
    let mut viewer = world.client(&world.viewer).await;
    let get = pb::GetRequest {
        agent_id: agent_id.clone(),
        ..Default::default()
    };
    viewer.get(get).await.unwrap();
    viewer.list(pb::ListRequest::default()).await.unwrap();
    let logs = pb::LogsRequest {
        agent_id: agent_id.clone(),
        ..Default::default()
    };
    viewer.logs(logs).await.unwrap();
    let before = world.spoke("a").received().len();
    assert_eq!(
        reason(viewer.spawn(spawn("")).await),
        Reason::RoleInsufficient
    );
    let kill = pb::KillRequest {
        agent_id,
        ..Default::default()
    };
    assert_eq!(reason(viewer.kill(kill).await), Reason::RoleInsufficient);
    let all = pb::KillAllRequest::default();
    assert_eq!(reason(viewer.kill_all(all).await), Reason::RoleInsufficient);
    let release = pb::ReleaseRequest::default();
    assert_eq!(
        reason(viewer.release(release).await),
        Reason::RoleInsufficient
    );
    assert_eq!(world.spoke("a").received().len(), before);
}

#[tokio::test]
async fn a_token_made_or_revoked_beside_the_running_hub_counts_at_once() {
    use federation_gateway::tokens::{Role, Tokens};
    let world = World::new(&["a"]).await;
    let tokens = Tokens::of(world.folder.path()).unwrap();
    let name = "eve".parse().unwrap();
    let secret = tokens.create(&name, Role::Admin).await.unwrap();
    let mut client = world.client(&secret).await;
    client.spawn(spawn("")).await.unwrap();
    tokens.revoke(&name).await.unwrap();
    assert_eq!(reason(client.spawn(spawn("")).await), Reason::TokenInvalid);
}

#[tokio::test]
async fn no_secret_is_in_the_data_folder() {
    let world = World::new(&["a"]).await;
    spawned(&mut world.admin().await, "a").await;
    let World {
        folder,
        hub,
        admin,
        viewer,
        ..
    } = world;
    hub.stop().await;
    for file in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&admin, &viewer] {
            let bare = secret.trim_start_matches("mst_").as_bytes();
            assert!(!bytes.windows(bare.len()).any(|window| window == bare));
        }
    }
}

#[tokio::test]
async fn reflection_describes_both_services_to_who_has_a_token() {
    let world = World::new(&["a"]).await;
    let request = || {
        let request = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        tokio_stream::iter([request])
    };
    let mut stranger = ServerReflectionClient::new(world.channel().await);
    let answer = stranger.server_reflection_info(request()).await;
    assert_eq!(reason(answer), Reason::TokenInvalid);
    let bearer = Bearer(world.viewer.clone());
    let mut client = ServerReflectionClient::with_interceptor(world.channel().await, bearer);
    let answer = client.server_reflection_info(request()).await.unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("a list of services");
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "mosaic.agent.v1.AgentService",
        "mosaic.federation.v1.OperatorService",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn connections_are_listed_as_configured() {
    use mosaic_federation::connection::ConnectionState::{Active, Suspended};
    let world = World::with(&[("a", Active), ("s", Suspended)]).await;
    let bearer = Bearer(world.viewer.clone());
    let mut client = OperatorServiceClient::with_interceptor(world.channel().await, bearer);
    let answer = client
        .list_connections(fed::ListConnectionsRequest {})
        .await;
    let connections = answer.unwrap().into_inner().connections;
    let seen: Vec<_> = connections
        .iter()
        .map(|c| (c.site.as_str(), c.state(), c.hub_id.as_str()))
        .collect();
    let expected = [
        ("a", fed::ConnectionState::Active, "hub-test"),
        ("s", fed::ConnectionState::Suspended, "hub-test"),
    ];
    assert_eq!(seen, expected);
}
