//! Step 9: what the site lets a hub ask for. Each refusal is a signed receipt with its code.

use crate::world::{World, agent, kill, spawn, status};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{Reason, Refusal};

fn spawn_with(change: impl FnOnce(&mut pb::AgentSpec)) -> pb::SpawnRequest {
    let mut request = spawn();
    change(request.spec.as_mut().unwrap());
    request
}

#[tokio::test]
async fn each_line_of_the_grant_has_its_own_refusal() {
    let world = World::new().await;
    let table = [
        (
            spawn_with(|spec| spec.repository = "other".into()),
            "GRANT_REPOSITORY_DENIED",
        ),
        (
            spawn_with(|spec| spec.profile = "other".into()),
            "GRANT_PROFILE_DENIED",
        ),
        (
            spawn_with(|spec| spec.sandbox = "process".into()),
            "GRANT_SANDBOX_DENIED",
        ),
    ];
    for (request, code) in table {
        assert_eq!(world.side.ask(&request).await, code);
    }
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn a_kind_that_the_grant_does_not_list_is_refused() {
    let world = World::with(|peer| peer.grant.commands.clear()).await;
    let refusal = world.side.refusal(&kill()).await;
    assert_eq!(refusal.reason, Reason::GrantKindDenied);
    assert!(refusal.message.contains("kill"), "{}", refusal.message);
    assert_eq!(world.side.ask(&spawn()).await, "GRANT_KIND_DENIED");
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn a_grant_that_shrinks_holds_for_the_next_command() {
    let world = World::new().await;
    assert_eq!(world.side.ask(&spawn()).await, "");
    world.change(|peer| peer.grant.repositories.clear());
    assert_eq!(world.side.ask(&spawn()).await, "GRANT_REPOSITORY_DENIED");
}

#[tokio::test]
async fn wanted_limits_are_no_reason_to_refuse() {
    let world = World::with(|peer| peer.grant.limits.pids = Some(5)).await;
    let greedy = spawn_with(|spec| {
        spec.limits = Some(pb::Limits {
            pids: 500,
            ..Default::default()
        });
    });
    assert_eq!(world.side.ask(&greedy).await, "");
}

#[tokio::test]
async fn malformed_bodies_are_named_in_a_signed_refusal() {
    let world = World::new().await;
    let mut elsewhere = status();
    elsewhere.site = "another-site".into();
    let mut other_id = kill();
    other_id.command_id = "00".repeat(16);
    let refusals: [(Refusal, &str); 5] = [
        (world.side.refusal(&elsewhere).await, "site"),
        (world.side.refusal(&other_id).await, "command_id"),
        (
            world.side.refusal(&pb::GetRequest::default()).await,
            "agent_id",
        ),
        (
            world
                .side
                .refusal(&spawn_with(|spec| spec.repository = "../x".into()))
                .await,
            "spec.repository",
        ),
        (
            world
                .side
                .refusal(&spawn_with(|spec| spec.base_ref = "--output=x".into()))
                .await,
            "spec.base_ref",
        ),
    ];
    for (refusal, field) in refusals {
        assert_eq!(refusal.reason, Reason::InvalidRequest);
        assert!(refusal.message.starts_with(field), "{}", refusal.message);
    }
    assert_eq!(world.executed(), 0);
}

#[tokio::test]
async fn a_site_that_names_the_spoke_itself_is_fine() {
    let world = World::new().await;
    let request = pb::GetRequest {
        site: "spoke-alpha".into(),
        agent_id: agent(),
    };
    assert_eq!(world.side.ask(&request).await, "");
}

#[tokio::test]
async fn what_the_spoke_has_no_room_for_leaves_no_claim() {
    let world = World::new().await;
    let full = Refusal::new(Reason::GrantQuotaExceeded, "8 agents are alive");
    *world.running.recorder.admit.lock().unwrap() = Some(full);
    let command = world.side.sign(&spawn());
    let receipt = world.side.send(&command).await.unwrap();
    assert_eq!(receipt.reason_code, "GRANT_QUOTA_EXCEEDED");
    *world.running.recorder.admit.lock().unwrap() = None;
    let receipt = world.side.send(&command).await.unwrap();
    assert_eq!((receipt.reason_code.as_str(), world.executed()), ("", 1));
}
