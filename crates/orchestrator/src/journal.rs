//! Remembers agents and tells what happens to them: each change of state and its event are
//! one durable write. It decides nothing.

use jiff::Timestamp;
use mosaic_common::agent::{AgentRecord, AgentState, Cause, Event, Limits, Spec};
use mosaic_common::ids::InvalidId;
use mosaic_common::{AgentId, Alias, Clock, CommandId, Reason, Refusal};
use mosaic_store::{Error, Events, Row, StateStore, Table, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Remembers agents and tells what happens to them.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    site: Alias,
}

/// Whether a record was new.
#[derive(Debug)]
pub enum Created {
    /// It was, and stands.
    New,
    /// There was one of that id, and it stands.
    Found(Box<AgentRecord>),
}

impl Journal {
    /// A journal of one site.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, site: Alias) -> Self {
        Self { store, clock, site }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The site's name.
    #[must_use]
    pub fn site(&self) -> &Alias {
        &self.site
    }

    /// The record of an agent that nobody asked for here: an id, a state and why, and no more. It is
    /// written nowhere yet.
    ///
    /// # Errors
    /// If the id cannot stand as the name of a task.
    pub fn unasked(
        &self,
        agent: &AgentId,
        command_id: CommandId,
        (state, cause): (AgentState, Cause),
    ) -> Result<AgentRecord, InvalidId> {
        Ok(AgentRecord {
            spec: Spec {
                agent_id: agent.clone(),
                task_id: agent.as_str().parse()?,
                repository: None,
                base_ref: None,
                profile: None,
                sandbox: None,
                task: String::new(),
                limits: Limits::default(),
                labels: BTreeMap::new(),
            },
            site: self.site.clone(),
            state,
            cause: Some(cause),
            connection: None,
            command_id,
            created: self.now(),
            started: None,
            ended: None,
            cleanup: None,
            usage: None,
        })
    }

    /// Makes a record and tells its state, unless there is one of that id.
    ///
    /// # Errors
    /// If the store fails. Nothing was written then.
    pub async fn create(&self, record: &AgentRecord) -> Result<Created, Error> {
        let key = record.id().to_string();
        let create = Write::Create(Table::Agents, key, json(record)?);
        match self
            .store
            .apply(vec![
                create,
                Write::Append(json(&record.state_event(self.now()))?),
            ])
            .await
        {
            Ok(_) => Ok(Created::New),
            Err(Error::Exists { value, .. }) => Ok(Created::Found(Box::new(parse(&value)?))),
            Err(error) => Err(error),
        }
    }

    /// Writes a record and what there is to tell of it, both or neither.
    ///
    /// # Errors
    /// If the store fails. Nothing was written then.
    pub async fn publish(&self, record: &AgentRecord, events: &[Event]) -> Result<(), Error> {
        let mut batch = vec![Write::Put(
            Table::Agents,
            record.id().to_string(),
            json(record)?,
        )];
        for event in events {
            batch.push(Write::Append(json(event)?));
        }
        self.store.apply(batch).await.map(drop)
    }

    /// Tells something without changing a record.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tell(&self, event: &Event) -> Result<(), Error> {
        self.store
            .apply(vec![Write::Append(json(event)?)])
            .await
            .map(drop)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn get(&self, agent: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let value = self.store.get(Table::Agents, agent.as_str()).await?;
        value.map(|value| parse(&value)).transpose()
    }

    /// Reads records, newest first: at most `limit` of those numbered below `before`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scan(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, AgentRecord)>, Error> {
        let rows = self.store.scan(Table::Agents, before, limit).await?;
        rows.into_iter()
            .map(|Row { number, value, .. }| Ok((number, parse(&value)?)))
            .collect()
    }

    /// Reads events, oldest first: at most `limit` of those after `after`, and the first one kept.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(u64, Event)>), Error> {
        let Events { first_kept, events } = self.store.events(after, limit).await?;
        let events = events
            .into_iter()
            .map(|(sequence, value)| Ok((sequence, parse(&value)?)));
        Ok((first_kept, events.collect::<Result<_, Error>>()?))
    }

    /// The newest event's sequence; it changes with each.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<u64> {
        self.store.head()
    }

    /// The store itself, for what is not about agents.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }
}

/// What a caller is told when the store fails. The cause goes to the log.
#[must_use]
pub fn unavailable(error: &Error) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "the store failed");
    Refusal::new(
        Reason::StoreUnavailable,
        "the spoke's store cannot be used; its log says why",
    )
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Write(error.into()))
}

fn parse<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| Error::Read(error.into()))
}
