//! What clients call. Requests are parsed here and nowhere else; who may call what is decided
//! here; everything else is the site's business.

mod agent_service;
mod hub;
mod operator_service;

pub use agent_service::HubAgents;
pub use hub::HubParts;
pub use operator_service::HubOperator;
