//! What the hub believes of a site.

use crate::spoke::Mood;
use crate::world::{World, reason, spawn, spawned};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{CommandOutcome, Receipt};
use mosaic_common::{AgentId, CommandId, Reason, Refusal};

/// Changes a receipt before it is signed.
type Twist = fn(&mut Receipt);

#[tokio::test]
async fn a_receipt_that_does_not_prove_itself_is_no_answer_and_the_command_failed() {
    let twists: [(&str, Twist); 8] = [
        ("request", |receipt| {
            receipt.request_sha256 = vec![7; 32].into();
        }),
        ("command", |receipt| {
            receipt.command_id = vec![7; 16].into();
        }),
        ("issuer", |receipt| receipt.issuer = "spoke-b".into()),
        ("audience", |receipt| receipt.audience = "hub-other".into()),
        ("connection", |receipt| {
            receipt.connection_id = "to-b".into();
        }),
        ("epoch", |receipt| receipt.connection_epoch = 2),
        ("status", |receipt| receipt.status = 0),
        ("result", |receipt| receipt.result = b"\xff".to_vec().into()),
    ];
    let moods = twists.map(|(name, twist)| (name, Mood::Twisting(twist)));
    let forged = ("signature", Mood::Forging);
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    for (name, mood) in moods.into_iter().chain([forged]) {
        world.spoke("a").feel(mood);
        let request = spawn("");
        let answer = client.spawn(request.clone()).await;
        assert_eq!(reason(answer), Reason::ReceiptInvalid, "{name}");
        let records = world.commands().await;
        assert_eq!(records[0].command_id, request.command_id, "{name}");
        assert_eq!(records[0].outcome(), CommandOutcome::Failed, "{name}");
        assert_eq!(records[0].reason_code, "RECEIPT_INVALID", "{name}");
    }
}

#[tokio::test]
async fn a_receipt_about_another_agent_is_refused() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let mine = spawned(&mut client, "a").await;
    let others = spawned(&mut client, "b").await;
    for id in [others.as_str(), "../../etc", "", "\u{1b}[2J"] {
        world.spoke("a").feel(Mood::About(id.to_owned()));
        let get = pb::GetRequest {
            agent_id: mine.clone(),
            ..Default::default()
        };
        assert_eq!(
            reason(client.get(get).await),
            Reason::ReceiptInvalid,
            "{id:?}"
        );
    }
}

#[tokio::test]
async fn a_site_that_lists_or_tells_of_another_sites_agent_is_not_believed() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let victim = spawned(&mut client, "a").await;
    let mut thief = spawn("b");
    thief.spec.as_mut().unwrap().task = "x".into();
    client.spawn(thief).await.unwrap();
    // The spoke of b claims an agent of a in its list, and in its events.
    world.spoke("b").feel(Mood::About(victim.clone()));
    let listed = client
        .list(pb::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    let sites: Vec<_> = listed
        .agents
        .iter()
        .map(|agent| (agent.site.as_str(), agent.agent_id.as_str()))
        .collect();
    assert_eq!(sites, [("a", victim.as_str())]);
    let watch = pb::WatchRequest {
        site: "b".into(),
        ..Default::default()
    };
    let mut events = client.watch(watch).await.unwrap().into_inner();
    assert_eq!(reason(events.message().await), Reason::ReceiptInvalid);
    assert!(events.message().await.unwrap_or_default().is_none());
    let get = pb::GetRequest {
        agent_id: victim,
        ..Default::default()
    };
    assert_eq!(
        client
            .get(get)
            .await
            .unwrap()
            .into_inner()
            .agent
            .unwrap()
            .site,
        "a"
    );
}

#[tokio::test]
async fn a_sites_refusal_reaches_the_client_with_its_reason_and_without_its_escapes() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    for given in [
        Reason::GrantProfileDenied,
        Reason::QueueFull,
        Reason::SpawnsLatched,
    ] {
        world.spoke("a").feel(Mood::Refusing(given));
        let status = client.spawn(spawn("")).await.unwrap_err();
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!(
            (refusal.reason, refusal.message.as_str()),
            (given, "not[31m today")
        );
        let record = &world.commands().await[0];
        assert_eq!(record.outcome(), CommandOutcome::Refused);
        assert_eq!(record.reason_code, given.as_str());
    }
    assert_eq!(world.spoke("a").agents(), 0);
}

#[tokio::test]
async fn an_agent_nobody_knows_is_not_found() {
    let world = World::new(&["a"]).await;
    let get = pb::GetRequest {
        agent_id: AgentId::of_command(CommandId::random()).to_string(),
        ..Default::default()
    };
    let answer = world.admin().await.get(get).await;
    assert_eq!(reason(answer), Reason::AgentNotFound);
}
