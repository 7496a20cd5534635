//! What clients call. Requests are parsed here and nowhere else; everything that is asked of an
//! agent is the site's business.

mod acts;
mod agent_service;
mod hub;
mod list;
mod operator_service;
mod parse;

pub use agent_service::HubAgents;
pub use hub::HubParts;
pub use operator_service::HubOperator;
