//! Who asks, and what they may see.

use crate::lifecycle::Quota;
use mosaic_common::Alias;
use mosaic_common::agent::{AgentRecord, Limits};

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
        /// How many agents the connection may have.
        max_agents: usize,
        /// The most that one agent of it may use.
        limits: Limits,
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
                connection,
                max_agents,
                ..
            } => Some(Quota {
                connection: connection.clone(),
                agents: *max_agents,
            }),
        }
    }

    /// The most that one agent of it may use.
    #[must_use]
    pub fn most(&self) -> Limits {
        match self {
            Self::Local { .. } => Limits::default(),
            Self::Hub { limits, .. } => *limits,
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
