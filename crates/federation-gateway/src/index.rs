//! Which site has which agent. Durable: a retry after a restart of the hub must find the same one.

use futures_util::future::join_all;
use mosaic_common::{AgentId, Alias, Reason, Refusal};
use mosaic_store::{Error, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Entries held in memory, so that a listing does not read the store once for each agent. Some
/// ten MiB; when it is full it begins anew.
const KNOWN_MAX: usize = 100_000;

/// Which site has which agent.
#[derive(Debug, Clone)]
pub struct Index {
    store: Arc<dyn StateStore>,
    known: Arc<Mutex<HashMap<AgentId, Alias>>>,
}

/// What is kept of one agent.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    site: Alias,
}

impl Index {
    /// The index in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            known: Arc::default(),
        }
    }

    /// The site of an agent, if it is known.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn site(&self, agent: &AgentId) -> Result<Option<Alias>, Refusal> {
        if let Some(site) = self.known().get(agent) {
            return Ok(Some(site.clone()));
        }
        let value = self.store.get(Table::Agents, agent.as_str()).await;
        let value = value.map_err(|error| failed(&error))?;
        let site = value.and_then(|value| read(&value));
        Ok(site.map(|site| self.remember(agent, site)))
    }

    /// Gives an agent to a site, before anything is sent there, and returns the site that has
    /// it: another one if it was given before.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn claim(&self, agent: &AgentId, site: &Alias) -> Result<Alias, Refusal> {
        if let Some(site) = self.site(agent).await? {
            return Ok(site);
        }
        let value = serde_json::to_vec(&Entry { site: site.clone() }).unwrap_or_default(); // a name: cannot fail
        let create = Write::Create(Table::Agents, agent.to_string(), value);
        match self.store.apply(vec![create]).await {
            Ok(_) => Ok(self.remember(agent, site.clone())),
            Err(Error::Exists { value, .. }) => {
                let site = read(&value).unwrap_or_else(|| site.clone());
                Ok(self.remember(agent, site))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Gives a site every agent that it lists and no other site has. Says of each, in order,
    /// whether the site has it.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn claim_all(&self, agents: &[AgentId], site: &Alias) -> Result<Vec<bool>, Refusal> {
        // At once, so that the store commits them together.
        let claims = agents.iter().map(|agent| self.claim(agent, site));
        let owners = join_all(claims).await.into_iter();
        owners.map(|owner| Ok(owner? == *site)).collect()
    }

    fn remember(&self, agent: &AgentId, site: Alias) -> Alias {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(agent.clone(), site.clone());
        site
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AgentId, Alias>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(value: &[u8]) -> Option<Alias> {
    let entry: Option<Entry> = serde_json::from_slice(value).ok();
    entry.map(|entry| entry.site)
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
mod tests {
    use super::*;
    use mosaic_common::CommandId;
    use mosaic_store::MemoryStore;

    #[tokio::test]
    async fn the_first_site_keeps_an_agent_also_over_a_restart() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::default());
        let [a, b]: [Alias; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let agent = AgentId::of_command(CommandId::random());
        let other = AgentId::of_command(CommandId::random());
        let index = Index::new(store.clone());
        assert_eq!(index.claim(&agent, &a).await.unwrap(), a);
        assert_eq!(index.claim(&agent, &b).await.unwrap(), a);
        let restarted = Index::new(store);
        assert_eq!(restarted.site(&agent).await.unwrap(), Some(a.clone()));
        let listed = restarted.claim_all(&[agent, other.clone()], &b).await;
        assert_eq!(listed.unwrap(), [false, true]);
        assert_eq!(restarted.site(&other).await.unwrap(), Some(b));
    }

    #[tokio::test]
    async fn a_broken_store_is_said_and_not_taken_for_an_unknown_agent() {
        let store = Arc::new(MemoryStore::default());
        let index = Index::new(store.clone());
        store.break_reads();
        let refusal = index.site(&AgentId::of_command(CommandId::random())).await;
        assert_eq!(refusal.unwrap_err().reason, Reason::StoreUnavailable);
    }
}
