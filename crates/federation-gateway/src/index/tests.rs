//! Rows over restarts, ends, and what is forgotten.

use super::*;
use mosaic_common::CommandId;
use mosaic_store::MemoryStore;
use mosaic_testkit::clock::ManualClock;
use std::time::Duration;

fn agent() -> AgentId {
    AgentId::of_command(CommandId::random())
}

fn sites() -> [Alias; 2] {
    ["a", "b"].map(|name| name.parse().unwrap())
}

fn index() -> (Index, Arc<MemoryStore>, Arc<ManualClock>) {
    let (store, clock) = (
        Arc::new(MemoryStore::default()),
        Arc::new(ManualClock::default()),
    );
    (Index::new(store.clone(), clock.clone()), store, clock)
}

#[tokio::test]
async fn the_first_site_keeps_an_agent_also_over_a_restart() {
    let ([a, b], (index, store, clock)) = (sites(), index());
    let (agent, other) = (agent(), agent());
    assert_eq!(index.claim(&agent, &a).await.unwrap(), a);
    assert_eq!(index.claim(&agent, &b).await.unwrap(), a);
    let restarted = Index::new(store, clock);
    assert_eq!(restarted.site(&agent).await.unwrap(), Some(a.clone()));
    let listed = [(agent, false), (other.clone(), false)];
    let listed = restarted.learn(&b, &listed).await;
    assert_eq!(listed.unwrap(), [false, true]);
    assert_eq!(restarted.site(&other).await.unwrap(), Some(b));
}

#[tokio::test]
async fn who_is_alive_at_a_site_is_told_oldest_first_also_over_a_restart() {
    let ([a, b], (index, store, clock)) = (sites(), index());
    let [first, second, third] = [agent(), agent(), agent()];
    for (agent, site) in [(&first, &a), (&second, &a), (&third, &b)] {
        index.claim(agent, site).await.unwrap();
    }
    assert_eq!(
        index.alive(&a).await.unwrap(),
        [first.clone(), second.clone()]
    );
    // A site has no say in what is another's.
    let told = [(first.clone(), true), (third.clone(), true)];
    index.learn(&a, &told).await.unwrap();
    let restarted = Index::new(store, clock);
    assert_eq!(restarted.alive(&a).await.unwrap(), [second]);
    assert_eq!(restarted.alive(&b).await.unwrap(), [third]);
}

#[tokio::test]
async fn what_is_gone_is_forgotten_unless_it_was_claimed_of_late() {
    let ([a, _], (index, store, clock)) = (sites(), index());
    let [old, claimed, listed] = [agent(), agent(), agent()];
    for agent in [&old, &claimed, &listed] {
        index.claim(agent, &a).await.unwrap();
    }
    clock.advance(STALE.unsigned_abs() + Duration::from_secs(60));
    index.claim(&claimed, &a).await.unwrap();
    let limit = clock.now() - STALE;
    let forgotten = index.forget(limit, |agent, _| *agent != listed).await;
    assert_eq!(forgotten.unwrap(), 1);
    for index in [index, Index::new(store, clock)] {
        assert_eq!(index.site(&old).await.unwrap(), None);
        assert_eq!(index.site(&claimed).await.unwrap(), Some(a.clone()));
        assert_eq!(index.site(&listed).await.unwrap(), Some(a.clone()));
    }
}

#[tokio::test]
async fn a_broken_store_is_said_and_not_taken_for_an_unknown_agent() {
    let (index, store, _) = index();
    store.break_reads();
    let refusal = index.site(&agent()).await;
    assert_eq!(refusal.unwrap_err().reason, Reason::StoreUnavailable);
}
