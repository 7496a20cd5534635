//! Requests to all sites: nobody waits for the slow one longer than for its time, and who did not
//! answer is named.

use crate::spoke::Mood;
use crate::world::{PATIENCE, World, reason, spawned};
use mosaic_common::Reason;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_federation::connection::ConnectionState::{Active, Pending, Revoked, Suspended};
use std::time::Duration;

fn named(unreachable: &[pb::Unreachable]) -> Vec<&str> {
    let mut sites: Vec<_> = unreachable.iter().map(|site| site.site.as_str()).collect();
    sites.sort_unstable();
    sites
}

#[tokio::test]
async fn silent_gone_and_lying_sites_are_named_and_the_others_are_listed() {
    let world = World::new(&["a", "b", "c", "d"]).await;
    let mut client = world.admin().await;
    let first = spawned(&mut client, "a").await;
    for site in ["b", "c", "d"] {
        spawned(&mut client, site).await;
    }
    world.spoke("b").feel(Mood::Mute);
    world.spoke("c").feel(Mood::Gone);
    world.spoke("d").feel(Mood::Forging);
    let answer = client
        .list(pb::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.agents.len(), 1);
    assert_eq!(answer.agents[0].agent_id, first);
    assert_eq!(named(&answer.unreachable), ["b", "c", "d"]);
    assert_eq!(answer.next_page_token, "");
}

#[tokio::test]
async fn a_named_site_that_does_not_answer_is_an_error() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    world.spoke("b").feel(Mood::Gone);
    let list = pb::ListRequest {
        site: "b".into(),
        ..Default::default()
    };
    assert_eq!(reason(client.list(list).await), Reason::SiteUnreachable);
    let kill_all = pb::KillAllRequest {
        site: "b".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(client.kill_all(kill_all).await),
        Reason::SiteUnreachable
    );
    let release = pb::ReleaseRequest {
        site: "c".into(),
        ..Default::default()
    };
    assert_eq!(reason(client.release(release).await), Reason::SiteUnknown);
}

#[tokio::test]
async fn kill_all_reaches_every_active_site_and_names_those_it_does_not() {
    let states = [
        ("a", Active),
        ("b", Active),
        ("p", Pending),
        ("r", Revoked),
        ("s", Suspended),
    ];
    let world = World::with(&states).await;
    let mut client = world.admin().await;
    spawned(&mut client, "a").await;
    let lost = spawned(&mut client, "b").await;
    let dead = spawned(&mut client, "b").await;
    let kill = pb::KillRequest {
        agent_id: dead,
        ..Default::default()
    };
    client.kill(kill).await.unwrap();
    // The hub takes note of an end by the way; a list is answered with what it has noted.
    client.list(pb::ListRequest::default()).await.unwrap();
    world.spoke("b").feel(Mood::Gone);
    let request = pb::KillAllRequest {
        command_id: "000102030405060708090a0b0c0d0e0f".into(),
        reason: "enough".into(),
        ..Default::default()
    };
    let answer = client.kill_all(request.clone()).await.unwrap().into_inner();
    let killed: Vec<_> = answer
        .results
        .iter()
        .map(|result| result.site.as_str())
        .collect();
    assert_eq!(killed, ["a", "b"]);
    assert_eq!(answer.results[0].outcome(), pb::KillOutcome::Killed);
    // The one that was killed before is not among those that may be alive there.
    assert_eq!(answer.results[1].agent_id, lost);
    assert_eq!(answer.results[1].outcome(), pb::KillOutcome::Unreachable);
    assert_eq!(named(&answer.unreachable), ["b", "s"]);
    world.spoke("b").feel(Mood::Well);
    let again = client.kill_all(request).await.unwrap().into_inner();
    let killed = |result: &pb::KillAllResult| result.outcome() == pb::KillOutcome::Killed;
    assert_eq!(again.results.len(), 3);
    assert!(again.results.iter().all(killed));
    for site in ["p", "r", "s"] {
        assert_eq!(world.spoke(site).received().len(), 0, "{site}");
    }
    assert_eq!(world.spoke("a").count(CommandKind::KillAll), 2);
}

#[tokio::test]
async fn release_says_which_sites_were_latched_by_the_names_of_this_hub() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    world.spoke("b").feel(Mood::Gone);
    let answer = client
        .release(pb::ReleaseRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.released, ["a"]);
    assert_eq!(named(&answer.unreachable), ["b"]);
}

#[tokio::test]
async fn pages_over_many_sites_are_newest_first_and_tell_every_agent_once() {
    let world = World::new(&["a", "b", "c"]).await;
    let mut client = world.admin().await;
    let mut spawned_ids = Vec::new();
    for site in ["a", "a", "b", "a", "c", "b", "a"] {
        spawned_ids.push(spawned(&mut client, site).await);
    }
    spawned_ids.reverse();
    for page_size in [1, 2, 3, 100] {
        let mut request = pb::ListRequest {
            page_size,
            ..Default::default()
        };
        let mut told = Vec::new();
        loop {
            let page = client.list(request.clone()).await.unwrap().into_inner();
            assert!(page.agents.len() <= page_size as usize);
            told.extend(page.agents.into_iter().map(|agent| agent.agent_id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(told, spawned_ids, "pages of {page_size}");
    }
}

#[tokio::test]
async fn a_suspended_site_still_answers_status_and_kill() {
    let world = World::with(&[("a", Active), ("s", Suspended)]).await;
    let mut client = world.admin().await;
    let agent_id =
        mosaic_common::AgentId::of_command(mosaic_common::CommandId::random()).to_string();
    let kill = pb::KillRequest {
        site: "s".into(),
        agent_id: agent_id.clone(),
        ..Default::default()
    };
    client.kill(kill).await.unwrap();
    let get = pb::GetRequest {
        site: "s".into(),
        agent_id: agent_id.clone(),
    };
    assert_eq!(reason(client.get(get).await), Reason::AgentNotFound);
    assert_eq!(world.spoke("s").received().len(), 2);
    let logs = pb::LogsRequest {
        site: "s".into(),
        agent_id,
        ..Default::default()
    };
    assert_eq!(reason(client.logs(logs).await), Reason::SiteNotActive);
}

#[tokio::test]
async fn a_hub_that_lost_its_store_knows_the_agents_of_its_sites_again() {
    let world = World::new(&["a", "b"]).await;
    let mut client = world.admin().await;
    let mut ids = Vec::new();
    // More than one page of a list.
    for site in std::iter::repeat_n("a", 501).chain(["b"]) {
        ids.push((spawned(&mut client, site).await, site));
    }
    let world = world.without_its_store().await;
    let mut client = world.admin().await;
    for (agent_id, site) in [&ids[0], &ids[501]] {
        let get = pb::GetRequest {
            agent_id: agent_id.clone(),
            ..Default::default()
        };
        let found = async {
            loop {
                match client.get(get.clone()).await {
                    Ok(answer) => return answer.into_inner().agent.unwrap(),
                    Err(status) => assert_eq!(reason::<()>(Err(status)), Reason::AgentNotFound),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let agent = tokio::time::timeout(PATIENCE, found).await.unwrap();
        assert_eq!(agent.site, *site);
    }
}
