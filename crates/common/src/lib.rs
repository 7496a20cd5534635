//! What hub, spoke and client share: the wire types, ids, the agent model,
//! signed envelopes, reasons for refusals, the clock, and process set-up.
//!
//! It knows no server, no container engine and no store.

pub mod agent;
mod chain;
pub mod clock;
pub mod envelope;
pub mod failpoint;
pub mod ids;
pub mod keys;
pub mod place;
pub mod process;
pub mod proto;
pub mod refusal;

pub use chain::in_full;
pub use clock::{Clock, SystemClock};
pub use ids::{AgentId, Alias, CommandId, TaskId};
pub use refusal::{Reason, Refusal};
