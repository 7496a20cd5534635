//! Every call of every client, with its answer, as JSON lines; and what must hold of them.

mod judge;

pub use judge::judge;

use crate::told::Told;
use anyhow::{Context, Result};
use mosaic_common::proto::agent::v1::AgentState;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// One call with its answer, or one thing that came over a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Microseconds from the beginning to when it was asked; for what came over a stream, to when it came.
    pub begun: u64,
    /// Microseconds from the beginning to when it was answered.
    pub ended: u64,
    /// Which client.
    pub client: u32,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What was asked and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A spawn that was accepted.
    Spawned {
        /// The command's id.
        command: String,
        /// The agent that was told.
        agent: String,
    },
    /// A kill that was answered.
    Killed {
        /// Whom.
        agent: String,
        /// What it did.
        outcome: String,
        /// Processes of the agent that were there after the answer.
        alive: usize,
    },
    /// A state that was told.
    Status {
        /// Whose.
        agent: String,
        /// The state's word.
        state: String,
        /// Whether it is a final one.
        is_final: bool,
        /// Processes of the agent that were there after the answer, if it is final.
        alive: usize,
    },
    /// A stream began after this sequence.
    Opened {
        /// The cursor.
        after: u64,
    },
    /// An event came.
    Event {
        /// Its position.
        sequence: u64,
        /// Whose.
        agent: String,
        /// Its type.
        kind: String,
    },
    /// It was said that events are no longer kept.
    Gap {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A call that had no answer, or was refused.
    Unanswered {
        /// Which, and what was said.
        call: String,
    },
    /// Somebody was killed.
    Fault {
        /// Who.
        victim: String,
    },
}

/// Writes down what happens. Clones write to the same history.
#[derive(Debug, Clone)]
pub struct Recorder {
    begun: Instant,
    kept: Arc<Mutex<(Vec<Entry>, File)>>,
}

impl Recorder {
    /// Begins a history in this file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn to(file: &Path) -> Result<Self> {
        let opened = File::create(file).with_context(|| file.display().to_string())?;
        Ok(Self {
            begun: Instant::now(),
            kept: Arc::new(Mutex::new((Vec::new(), opened))),
        })
    }

    /// Now, as it stands in entries.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes down what was asked at `begun` and is answered now.
    pub fn note(&self, client: u32, begun: u64, what: What) {
        let entry = Entry {
            begun,
            ended: self.now(),
            client,
            what,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(&entry).unwrap_or_default(); // numbers and texts
        drop(writeln!(kept.1, "{line}")); // a copy for people; what is judged is in memory
        kept.0.push(entry);
    }

    /// Writes down a state that was told.
    pub fn status(&self, client: u32, begun: u64, told: &Told, alive: usize) {
        let what = What::Status {
            agent: told.agent.clone(),
            state: crate::judge::name(told.state),
            is_final: told.is_final(),
            alive,
        };
        self.note(client, begun, what);
    }

    /// Everything so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.clone()
    }
}

/// Whether an event's type tells a final state, and which.
fn final_state(kind: &str) -> Option<String> {
    let state = kind.strip_prefix("agent.")?;
    let finals = [
        AgentState::Completed,
        AgentState::Failed,
        AgentState::Killed,
    ];
    let is_final = finals.into_iter().any(|of| crate::judge::name(of) == state);
    is_final.then(|| state.to_owned())
}
