//! The agent: what was asked, where it is in its life, how it ended, what its ending did.
//!
//! These types are what the store keeps and what `--json` prints: one JSON shape everywhere,
//! camel case. [`wire`] converts them from and to the generated types, and is where
//! requests are parsed: whoever holds a [`Spec`] need not check it again.

mod cleanup;
mod event;
mod fault;
mod record;
mod spec;
mod state;
mod usage;
pub mod wire;

pub use cleanup::{CleanupReport, Outcome, Quarantine, Step};
pub use event::{Event, EventType};
pub use fault::Fault;
pub use record::AgentRecord;
pub use spec::{BaseRef, Limits, Spec, TASK_MAX};
pub use state::{AgentState, Cause, TimeLimit};
pub use usage::Usage;
