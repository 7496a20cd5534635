//! Spawn and kill: placement, repeats, conflicts, and what is recorded.

use crate::spoke::Mood;
use crate::world::{World, reason, spawn, spawned};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::{CommandKind, CommandOutcome};
use mosaic_common::{AgentId, CommandId, Reason};

#[tokio::test]
async fn a_spawn_goes_to_its_site_as_a_signed_command_and_is_recorded() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let request = spawn("b");
    let agent = client
        .spawn(request.clone())
        .await
        .unwrap()
        .into_inner()
        .agent
        .unwrap();
    assert_eq!(agent.site, "b");
    let command: CommandId = request.command_id.parse().unwrap();
    assert_eq!(agent.agent_id, AgentId::of_command(command).to_string());
    assert_eq!(
        (world.spoke("a").agents(), world.spoke("b").agents()),
        (0, 1)
    );
    assert_eq!(world.spoke("b").received()[0].on_behalf_of, "ann");
    let records = world.commands().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].command_id, request.command_id);
    assert_eq!(records[0].outcome(), CommandOutcome::Delivered);
    assert_eq!(records[0].agent_id, agent.agent_id);
    assert_eq!(
        (records[0].site.as_str(), records[0].on_behalf_of.as_str()),
        ("b", "ann")
    );
}

#[tokio::test]
async fn a_site_must_be_named_where_there_are_several_and_agents_are_found_without() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    assert_eq!(reason(client.spawn(spawn("")).await), Reason::SiteRequired);
    assert_eq!(
        reason(client.spawn(spawn("nowhere")).await),
        Reason::SiteUnknown
    );
    let agent_id = spawned(&mut client, "b").await;
    let get = |site: &str| pb::GetRequest {
        site: site.into(),
        agent_id: agent_id.clone(),
    };
    let found = client
        .get(get(""))
        .await
        .unwrap()
        .into_inner()
        .agent
        .unwrap();
    assert_eq!(found.site, "b");
    assert_eq!(reason(client.get(get("a")).await), Reason::AgentNotFound);
    assert_eq!(world.spoke("a").received().len(), 0);
}

#[tokio::test]
async fn a_repeat_sends_the_same_bytes_also_after_a_restart_and_makes_no_second_agent() {
    let mut world = World::new(&["a"]).await;
    let request = spawn("");
    let mut answers = Vec::new();
    for round in 0..4 {
        if round == 2 {
            world = world.restarted().await;
        }
        let answer = world.admin().await.spawn(request.clone()).await.unwrap();
        answers.push(answer.into_inner());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(world.spoke("a").agents(), 1);
    let received = world.spoke("a").received();
    assert_eq!(received.len(), 4);
    assert!(
        received
            .iter()
            .all(|command| command.body == received[0].body)
    );
    assert_eq!(world.commands().await.len(), 1);
}

#[tokio::test]
async fn a_used_command_id_with_another_request_is_a_conflict_and_nothing_is_sent() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let first = spawn("a");
    client.spawn(first.clone()).await.unwrap();
    let mut other_task = first.clone();
    other_task.spec.as_mut().unwrap().task = "something else".into();
    let mut other_site = first.clone();
    other_site.site = "b".into();
    let mut other_agent = other_site.clone();
    let fresh = AgentId::of_command(CommandId::random()).to_string();
    other_agent.spec.as_mut().unwrap().agent_id = fresh.clone();
    for request in [other_task, other_site, other_agent] {
        assert_eq!(reason(client.spawn(request).await), Reason::CommandConflict);
    }
    let kill = pb::KillRequest {
        command_id: first.command_id.clone(),
        site: "b".into(),
        agent_id: AgentId::of_command(CommandId::random()).to_string(),
        ..Default::default()
    };
    assert_eq!(reason(client.kill(kill).await), Reason::CommandConflict);
    assert_eq!(
        world.spoke("a").received().len() + world.spoke("b").received().len(),
        1
    );
    assert_eq!(
        world.commands().await[0].outcome(),
        CommandOutcome::Delivered
    );
}

#[tokio::test]
async fn an_agent_id_that_one_site_has_is_not_spawned_at_another() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let agent_id = spawned(&mut client, "a").await;
    let mut request = spawn("b");
    request.spec.as_mut().unwrap().agent_id = agent_id;
    assert_eq!(reason(client.spawn(request).await), Reason::AgentExists);
    assert_eq!(world.spoke("b").received().len(), 0);
}

#[tokio::test]
async fn a_kill_before_its_spawn_decides_where_the_spawn_goes() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let agent_id = AgentId::of_command(CommandId::random()).to_string();
    let kill = |site: &str| pb::KillRequest {
        site: site.into(),
        agent_id: agent_id.clone(),
        ..Default::default()
    };
    assert_eq!(reason(client.kill(kill("")).await), Reason::AgentNotFound);
    let answer = client.kill(kill("b")).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), pb::KillOutcome::NeverStarted);
    let mut request = spawn("a");
    request.spec.as_mut().unwrap().agent_id = agent_id.clone();
    assert_eq!(reason(client.spawn(request).await), Reason::AgentExists);
    assert_eq!(reason(client.kill(kill("a")).await), Reason::AgentNotFound);
    assert_eq!(world.spoke("a").received().len(), 0);
}

#[tokio::test]
async fn a_spawn_without_an_answer_is_open_and_its_repeat_finds_the_agent() {
    let world = World::new(&["a"]).await;
    let mut client = world.admin().await;
    let request = spawn("");
    world.spoke("a").feel(Mood::Mute);
    assert_eq!(
        reason(client.spawn(request.clone()).await),
        Reason::SiteUnreachable
    );
    let record = &world.commands().await[0];
    assert_eq!(record.outcome(), CommandOutcome::Pending);
    assert_eq!(record.reason_code, "SITE_UNREACHABLE");
    world.spoke("a").feel(Mood::Well);
    client.spawn(request).await.unwrap();
    assert_eq!(world.spoke("a").agents(), 1);
    assert_eq!(
        world.commands().await[0].outcome(),
        CommandOutcome::Delivered
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_command_pending_for_good() {
    let world = World::new(&["a"]).await;
    world.spoke("a").feel(Mood::Mute);
    let mut client = world.admin().await;
    let mut call = Box::pin(client.spawn(spawn("")));
    let sent = async {
        while world.spoke("a").count(CommandKind::Spawn) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut call => panic!("no answer was to come"),
        () = sent => {}
    }
    drop(call);
    world.spoke("a").feel(Mood::Well);
    let ended = async {
        while world.commands().await[0].outcome() != CommandOutcome::Delivered {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_same_command_twice_at_a_time_is_in_progress_once() {
    let world = World::new(&["a"]).await;
    world.spoke("a").feel(Mood::Mute);
    let request = spawn("");
    let (mut one, mut two) = (world.admin().await, world.admin().await);
    let (first, second) = tokio::join!(one.spawn(request.clone()), two.spawn(request));
    let mut reasons = [reason(first), reason(second)].map(Reason::as_str);
    reasons.sort_unstable();
    assert_eq!(reasons, ["COMMAND_IN_PROGRESS", "SITE_UNREACHABLE"]);
}

#[tokio::test]
async fn a_trace_goes_on_at_the_site() {
    let world = World::new(&["a"]).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = tonic::Request::new(spawn(""));
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    world.admin().await.spawn(request).await.unwrap();
    assert_eq!(world.spoke("a").received()[0].traceparent, traceparent);
}
