//! What is wrong with a settled system, one line each.

use serde::Serialize;
use std::fmt;

/// A disagreement between what is, what was promised, and what is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Of which sort.
    pub fault: Fault,
    /// Whose, if it can be told.
    pub agent: Option<String>,
    /// What exactly, for people.
    pub what: String,
}

/// The sorts of disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Something exists of which nobody has use any more.
    Leak,
    /// One agent has two of what it may have one of, or ran twice.
    Duplicate,
    /// Work that was done is not where it was promised to be.
    Lost,
    /// What the system says is not so.
    Untrue,
    /// It does not come to rest.
    Unsettled,
}

impl Finding {
    /// A finding about an agent, or about nobody.
    pub fn new(fault: Fault, agent: Option<&str>, what: impl Into<String>) -> Self {
        Self {
            fault,
            agent: agent.map(str::to_owned),
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Leak => "leak",
            Self::Duplicate => "duplicate",
            Self::Lost => "lost",
            Self::Untrue => "untrue",
            Self::Unsettled => "unsettled",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = self.agent.as_deref().unwrap_or("nobody's");
        write!(out, "{}: {whose}: {}", self.fault, self.what)
    }
}
