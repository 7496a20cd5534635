//! The life of an agent: one task each, a pure policy, and the register of those alive.
//!
//! ```text
//! accept ─► queued ─► spawning ─► running ─► stopping ─► completed | failed | killed
//!             │           │          │          ▲
//!             └───────────┴──────────┴── end ───┘
//! ```
//!
//! [`Agents`] takes requests and hands each to the one task that owns the agent, the driver.
//! Everybody else watches a channel. What may happen is decided in [`policy`].

mod agents;
mod driver;
mod follow;
mod gate;
pub mod policy;
mod room;
mod witness;

pub use agents::{Agents, Ended};
pub use gate::{Gate, Latch, Pass, Quota};

use crate::cleanup::Means;
use crate::{journal::Journal, sandboxes::Sandboxes, spawner::Spawner, worktrees::Worktrees};
use jiff::SignedDuration;
use mosaic_common::agent::Cause;
use std::{sync::Arc, time::Duration};

/// What a life needs.
#[derive(Debug)]
pub struct Deps {
    /// Makes worktree and sandbox.
    pub spawner: Spawner,
    /// Where agents live.
    pub sandboxes: Sandboxes,
    /// Where they work.
    pub worktrees: Arc<dyn Worktrees>,
    /// Remembers and tells.
    pub journal: Journal,
    /// From a polite stop to a kill, where nobody says otherwise.
    pub stop_grace: Duration,
    /// How long work that cannot be rescued is kept.
    pub quarantine: SignedDuration,
}

impl Deps {
    /// What an ending works with.
    #[must_use]
    pub fn means(&self) -> Means<'_> {
        Means {
            sandboxes: &self.sandboxes,
            worktrees: self.worktrees.as_ref(),
            journal: &self.journal,
            quarantine: self.quarantine,
        }
    }
}

/// Asks an agent's task to end it.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// Why.
    pub(crate) cause: Cause,
    /// How long its program may take.
    pub(crate) grace: Duration,
}
