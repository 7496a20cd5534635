//! Which site has which agent. Durable: a retry after a restart of the hub must find the same one.

use mosaic_common::{AgentId, Alias, Reason, Refusal};
use mosaic_store::{Error, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which site has which agent.
#[derive(Debug, Clone)]
pub struct Index {
    store: Arc<dyn StateStore>,
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
        Self { store }
    }

    /// The site of an agent, if it is known.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn site(&self, agent: &AgentId) -> Result<Option<Alias>, Refusal> {
        let value = self
            .store
            .get(Table::Agents, agent.as_str())
            .await
            .map_err(|error| failed(&error))?;
        Ok(value.and_then(|value| read(&value)))
    }

    /// Gives an agent to a site, before anything is sent there, and returns the site that has
    /// it: another one if it was given before.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn claim(&self, agent: &AgentId, site: &Alias) -> Result<Alias, Refusal> {
        let value = serde_json::to_vec(&Entry { site: site.clone() }).unwrap_or_default(); // a name: cannot fail
        match self
            .store
            .apply(vec![Write::Create(Table::Agents, agent.to_string(), value)])
            .await
        {
            Ok(_) => Ok(site.clone()),
            Err(Error::Exists { value, .. }) => Ok(read(&value).unwrap_or_else(|| site.clone())),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn read(value: &[u8]) -> Option<Alias> {
    serde_json::from_slice::<Entry>(value)
        .ok()
        .map(|entry| entry.site)
}

/// What a caller is told when the hub's store fails. The cause goes to the log.
pub(crate) fn failed(error: &Error) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "the store failed");
    Refusal::new(
        Reason::StoreUnavailable,
        "the hub's store cannot be used; its log says why",
    )
}
