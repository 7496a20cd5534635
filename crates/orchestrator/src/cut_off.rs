//! Stops the agents of a hub that has been out of touch for longer than its grant allows. Without
//! that line in the grant they go on to their own end.

use crate::lifecycle::Agents;
use mosaic_common::Alias;
use mosaic_common::agent::{Cause, TimeLimit};
use mosaic_federation::connection::{Connections, HubPeer};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How often it looks. A grant counts in minutes.
const LOOK: Duration = Duration::from_secs(1);

/// Looks now and for ever.
pub async fn keep(agents: Agents, connections: Arc<Connections<HubPeer>>) {
    loop {
        for connection in silent(&connections) {
            end(&agents, &connection).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The connections whose hub has been silent for too long.
fn silent(connections: &Connections<HubPeer>) -> Vec<Alias> {
    let list = connections.list();
    let silent = list.iter().filter(|live| {
        let cut_off = live.peer().grant.cut_off;
        cut_off.is_some_and(|cut_off| live.contact().silence() > cut_off)
    });
    silent.map(|live| live.peer().id.clone()).collect()
}

async fn end(agents: &Agents, connection: &Alias) {
    let theirs = agents.alive();
    let theirs = theirs
        .into_iter()
        .filter(|record| record.connection.as_ref() == Some(connection) && record.cause.is_none());
    for record in theirs {
        warn!(agent.id = %record.id(), connection.id = %connection, "its hub is out of touch");
        let cause = Cause::TimedOut {
            limit: TimeLimit::CutOff,
        };
        let grace = agents.deps().stop_grace;
        // Not waited for: one that does not die must not keep the others alive.
        agents.end(record.id(), cause, grace, Duration::ZERO).await;
    }
}
