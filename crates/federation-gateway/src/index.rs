//! Which site has which agent. Durable: a retry after a restart of the hub must find the same one.
//! The census keeps it as the sites are.

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use mosaic_common::agent::AgentState;
use mosaic_common::agent::wire::parse_state;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Alias, Clock, Reason, Refusal};
use mosaic_store::{Error, Row, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::RwLock;

/// Entries held in memory, so that a listing does not read the store once for each agent. Some
/// ten MiB; when it is full it begins anew.
const KNOWN_MAX: usize = 100_000;

/// Rows looked at with one read.
const PAGE: usize = 1000;

/// How old a claim may be before a new one is written down: no row is touched more often.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// How old the last claim of a forgotten agent is at least. Twice as long as a claim may go
/// unwritten, so that no agent is forgotten while a command for it is on its way.
pub const STALE: SignedDuration = SignedDuration::from_hours(2);

/// Which site has which agent.
#[derive(Debug, Clone)]
pub struct Index {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<HashMap<AgentId, Entry>>>,
    /// Held to write while rows are forgotten: a claim meets a row, or makes one, but never reads
    /// one that is going.
    turn: Arc<RwLock<()>>,
}

/// What is kept of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    site: Alias,
    /// When it was claimed last; rows of older versions do not say.
    #[serde(default)]
    since: Timestamp,
    /// Whether its site has said that it ended.
    #[serde(default)]
    ended: bool,
}

impl Index {
    /// The index in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            known: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// The site of an agent, if it is known.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn site(&self, agent: &AgentId) -> Result<Option<Alias>, Refusal> {
        Ok(self.entry(agent).await?.map(|entry| entry.site))
    }

    /// Gives an agent to a site, before anything is sent there, and returns the site that has
    /// it: another one if it was given before.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn claim(&self, agent: &AgentId, site: &Alias) -> Result<Alias, Refusal> {
        let _turn = self.turn.read().await;
        let now = self.clock.now();
        let entry = self.own(agent, site, now).await?;
        let owner = entry.site.clone();
        if owner == *site && now.duration_since(entry.since) > FRESH {
            let fresh = Entry {
                since: now,
                ..entry
            };
            self.write(vec![(agent.clone(), fresh)]).await?;
        }
        Ok(owner)
    }

    /// Takes a site's word for agents of its own, and for those that have ended. Gives it every
    /// agent that no other site has, and says of each, in order, whether the site has it.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn learn(
        &self,
        site: &Alias,
        seen: &[(AgentId, bool)],
    ) -> Result<Vec<bool>, Refusal> {
        let _turn = self.turn.read().await;
        let now = self.clock.now();
        // At once, so that the store commits them together.
        let owned = seen.iter().map(|(agent, _)| self.own(agent, site, now));
        let owned = join_all(owned).await.into_iter();
        let owned: Vec<Entry> = owned.collect::<Result<_, _>>()?;
        let news = seen
            .iter()
            .zip(&owned)
            .filter(|((_, ended), entry)| *ended && !entry.ended && entry.site == *site);
        let ended = |entry: &Entry| Entry {
            ended: true,
            ..entry.clone()
        };
        let news = news.map(|((agent, _), entry)| (agent.clone(), ended(entry)));
        self.write(news.collect()).await?;
        Ok(owned.into_iter().map(|entry| entry.site == *site).collect())
    }

    /// The agents that a site was given and that are not known to have ended, oldest first.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn alive(&self, site: &Alias) -> Result<Vec<AgentId>, Refusal> {
        let mut alive = Vec::new();
        let mut before = None;
        loop {
            let rows = self.page(before).await?;
            let Some(last) = rows.last() else {
                alive.reverse();
                return Ok(alive);
            };
            before = Some(last.number);
            let here = rows.iter().filter_map(parse);
            let here = here.filter(|(_, entry)| entry.site == *site && !entry.ended);
            alive.extend(here.map(|(agent, _)| agent));
        }
    }

    /// Forgets agents that nobody has claimed since `limit` and that are gone.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn forget(
        &self,
        limit: Timestamp,
        is_gone: impl Fn(&AgentId, &Alias) -> bool,
    ) -> Result<usize, Refusal> {
        let (mut forgotten, mut before) = (0, None);
        loop {
            let _turn = self.turn.write().await;
            let rows = self.page(before).await?;
            let Some(last) = rows.last() else {
                return Ok(forgotten);
            };
            before = Some(last.number);
            let gone = rows
                .iter()
                .filter_map(parse)
                .filter(|(agent, entry)| entry.since < limit && is_gone(agent, &entry.site));
            let gone: Vec<AgentId> = gone.map(|(agent, _)| agent).collect();
            if gone.is_empty() {
                continue;
            }
            forgotten += gone.len();
            let delete = |agent: &AgentId| Write::Delete(Table::Agents, agent.to_string());
            let deleted = self.store.apply(gone.iter().map(delete).collect()).await;
            deleted.map_err(|error| failed(&error))?;
            let mut known = self.known();
            for agent in &gone {
                known.remove(agent);
            }
        }
    }

    /// The row of an agent; where there is none, it is made for `site`.
    async fn own(&self, agent: &AgentId, site: &Alias, now: Timestamp) -> Result<Entry, Refusal> {
        if let Some(entry) = self.entry(agent).await? {
            return Ok(entry);
        }
        let entry = Entry {
            site: site.clone(),
            since: now,
            ended: false,
        };
        let create = Write::Create(Table::Agents, agent.to_string(), bytes(&entry));
        let entry = match self.store.apply(vec![create]).await {
            Ok(_) => entry,
            Err(Error::Exists { value, .. }) => read(&value).unwrap_or(entry),
            Err(error) => return Err(failed(&error)),
        };
        self.remember(agent, entry.clone());
        Ok(entry)
    }

    async fn entry(&self, agent: &AgentId) -> Result<Option<Entry>, Refusal> {
        if let Some(entry) = self.known().get(agent) {
            return Ok(Some(entry.clone()));
        }
        let value = self.store.get(Table::Agents, agent.as_str()).await;
        let entry = value.map_err(|error| failed(&error))?;
        let entry = entry.and_then(|value| read(&value));
        if let Some(entry) = &entry {
            self.remember(agent, entry.clone());
        }
        Ok(entry)
    }

    async fn page(&self, before: Option<u64>) -> Result<Vec<Row>, Refusal> {
        let rows = self.store.scan(Table::Agents, before, PAGE).await;
        rows.map_err(|error| failed(&error))
    }

    async fn write(&self, entries: Vec<(AgentId, Entry)>) -> Result<(), Refusal> {
        if entries.is_empty() {
            return Ok(());
        }
        let put = |(agent, entry): &(AgentId, Entry)| {
            Write::Put(Table::Agents, agent.to_string(), bytes(entry))
        };
        let written = self.store.apply(entries.iter().map(put).collect()).await;
        written.map_err(|error| failed(&error))?;
        for (agent, entry) in entries {
            self.remember(&agent, entry);
        }
        Ok(())
    }

    fn remember(&self, agent: &AgentId, entry: Entry) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(agent.clone(), entry);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AgentId, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agents of a list, in its order, and whether each has ended: what [`Index::learn`] takes.
pub(crate) fn seen(agents: &[pb::Agent]) -> Vec<(AgentId, bool)> {
    let seen = agents.iter().map(|agent| {
        let ended = parse_state(agent.state).is_some_and(AgentState::is_final);
        Some((agent.agent_id.parse().ok()?, ended))
    });
    seen.collect::<Option<_>>().unwrap_or_default() // a list with a malformed id was refused as it came
}

fn bytes(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).unwrap_or_default() // a name, a time and a flag: cannot fail
}

fn read(value: &[u8]) -> Option<Entry> {
    serde_json::from_slice(value).ok()
}

/// A row that can be read. One that cannot is of nobody's agent.
fn parse(row: &Row) -> Option<(AgentId, Entry)> {
    Some((row.key.parse().ok()?, read(&row.value)?))
}

/// What a caller is told when the hub's store fails. The cause goes to the log.
pub(crate) fn failed(error: &Error) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "the store failed");
    Refusal::new(
        Reason::StoreUnavailable,
        "the hub's store cannot be used; its log says why",
    )
}

#[cfg(test)]
mod tests;
