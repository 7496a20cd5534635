//! Why an agent that ran did not do its task, in the words of its own program.

use serde::{Deserialize, Serialize};

/// Why an agent's program did not do its task, as its output shows. The names are stable;
/// `docs/agents.md` says what to do about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The model's server does not take the key, or there is none.
    Auth,
    /// The model's server says that too much was asked of it (429).
    RateLimit,
    /// The model's server has no room (529).
    Overloaded,
    /// The model's server refused or failed in another way.
    Api,
    /// The model's server could not be reached.
    Network,
    /// As many turns as the profile allows were not enough.
    MaxTurns,
    /// As much money as the profile allows was not enough.
    Budget,
    /// Somebody other than the spoke stopped it.
    Cancelled,
    /// The program ended, or was given up, before it began with the task.
    StartFailed,
    /// The program says that it failed, and nothing more that is known here.
    Program,
    /// The output does not show how the task ended.
    Protocol,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::Auth,
        Self::RateLimit,
        Self::Overloaded,
        Self::Api,
        Self::Network,
        Self::MaxTurns,
        Self::Budget,
        Self::Cancelled,
        Self::StartFailed,
        Self::Program,
        Self::Protocol,
    ];

    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::RateLimit => "rate_limit",
            Self::Overloaded => "overloaded",
            Self::Api => "api",
            Self::Network => "network",
            Self::MaxTurns => "max_turns",
            Self::Budget => "budget",
            Self::Cancelled => "cancelled",
            Self::StartFailed => "start_failed",
            Self::Program => "program",
            Self::Protocol => "protocol",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_called_the_same_everywhere() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.as_str());
        }
    }
}
