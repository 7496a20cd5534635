//! The doors of a spoke: the same requests from its local operator and from its hubs.
//!
//! [`Requests`] is the one implementation. `agent_service` serves it on the local socket;
//! `execute` serves it to verified commands. Requests are parsed here and nowhere else.

mod agent_service;
mod caller;
mod ending;
mod execute;
mod listing;
mod logs;
mod operator_service;
mod requests;
mod result;
mod streams;
mod watch;

pub use agent_service::LocalAgents;
pub use caller::Caller;
pub(crate) use ending::parse_grace;
pub use execute::HubCommands;
pub use operator_service::LocalOperator;
pub use requests::Requests;
