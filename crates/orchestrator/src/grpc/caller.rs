//! Who asks, and what they may see.

use crate::lifecycle::Quota;
use mosaic_common::agent::{AgentRecord, Limits, Spec};
use mosaic_common::{Alias, Refusal};
use mosaic_federation::connection::Grant;
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A process of this machine's operator, on the local socket.
    Local {
        /// Its user.
        uid: u32,
    },
    /// A client of a hub, by a verified command.
    Hub {
        /// Over which connection.
        connection: Alias,
        /// The hub's client.
        client: String,
        /// What this spoke lets it ask for.
        grant: Arc<Grant>,
    },
}

impl Caller {
    /// How it stands in records: `local:<uid>` or `<connection>/<client>`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Local { uid } => format!("local:{uid}"),
            Self::Hub {
                connection, client, ..
            } => format!("{connection}/{client}"),
        }
    }

    /// The connection it asks over.
    #[must_use]
    pub fn connection(&self) -> Option<&Alias> {
        match self {
            Self::Local { .. } => None,
            Self::Hub { connection, .. } => Some(connection),
        }
    }

    /// How many agents it may have.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        match self {
            Self::Local { .. } => None,
            Self::Hub {
                connection, grant, ..
            } => Some(Quota {
                connection: connection.clone(),
                agents: grant.max_agents as usize,
            }),
        }
    }

    /// The most that one agent of it may use.
    #[must_use]
    pub fn most(&self) -> Limits {
        match self {
            Self::Local { .. } => Limits::default(),
            Self::Hub { grant, .. } => grant.limits,
        }
    }

    /// Checks a spec in which nothing is left open any more: what the spoke filled in must be
    /// granted too.
    ///
    /// # Errors
    /// The name that the grant does not list.
    pub fn check(&self, spec: &Spec) -> Result<(), Refusal> {
        match self {
            Self::Local { .. } => Ok(()),
            Self::Hub { grant, .. } => grant.check_spec(spec),
        }
    }

    /// Whether it may know of an agent: the local operator of every one, a hub of its own.
    #[must_use]
    pub fn sees(&self, record: &AgentRecord) -> bool {
        match self {
            Self::Local { .. } => true,
            Self::Hub { connection, .. } => record.connection.as_ref() == Some(connection),
        }
    }
}
