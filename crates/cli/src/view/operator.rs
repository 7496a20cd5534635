//! What OperatorService tells: connections and commands.

use super::{text, time};
use jiff::Timestamp;
use mosaic_common::proto::federation::v1 as pb;
use serde::Serialize;

/// The trust between one hub and one spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionView {
    /// Its id.
    pub connection_id: String,
    /// Which establishing of it.
    pub epoch: u64,
    /// The spoke's name.
    pub site: String,
    /// The hub's id.
    pub hub_id: String,
    /// The spoke's id.
    pub spoke_id: String,
    /// `pending`, `active`, `suspended` or `revoked`.
    pub state: &'static str,
    /// Where the hub dials; none at the spoke.
    pub address: Option<String>,
}

/// A recorded command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandView {
    /// Its id; none where none could be read.
    pub command_id: Option<String>,
    /// What was asked, such as `spawn`.
    pub kind: String,
    /// Under which connection; none for the local operator.
    pub connection: Option<String>,
    /// The site it was for.
    pub site: String,
    /// Who asked.
    pub on_behalf_of: String,
    /// The agent it was about.
    pub agent_id: Option<String>,
    /// `pending`, `delivered`, `failed` or `refused`.
    pub outcome: &'static str,
    /// The reason, for failed and refused.
    pub reason: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// When it was recorded.
    pub created: Option<Timestamp>,
    /// When its outcome was.
    pub ended: Option<Timestamp>,
}

impl From<pb::Connection> for ConnectionView {
    fn from(wire: pb::Connection) -> Self {
        let state = match wire.state() {
            pb::ConnectionState::Unspecified => "unknown",
            pb::ConnectionState::Pending => "pending",
            pb::ConnectionState::Active => "active",
            pb::ConnectionState::Suspended => "suspended",
            pb::ConnectionState::Revoked => "revoked",
        };
        Self {
            state,
            connection_id: wire.connection_id,
            epoch: wire.epoch,
            site: wire.site,
            hub_id: wire.hub_id,
            spoke_id: wire.spoke_id,
            address: text(wire.address),
        }
    }
}

impl From<pb::CommandRecord> for CommandView {
    fn from(wire: pb::CommandRecord) -> Self {
        let outcome = match wire.outcome() {
            pb::CommandOutcome::Unspecified => "unknown",
            pb::CommandOutcome::Pending => "pending",
            pb::CommandOutcome::Delivered => "delivered",
            pb::CommandOutcome::Failed => "failed",
            pb::CommandOutcome::Refused => "refused",
        };
        let kind = match wire.kind() {
            pb::CommandKind::Unspecified => "unknown".to_owned(),
            kind => kind
                .as_str_name()
                .trim_start_matches("COMMAND_KIND_")
                .to_ascii_lowercase(),
        };
        Self {
            outcome,
            kind,
            created: time(wire.create_time.as_ref()),
            ended: time(wire.end_time.as_ref()),
            command_id: text(wire.command_id),
            connection: text(wire.connection_id),
            site: wire.site,
            on_behalf_of: wire.on_behalf_of,
            agent_id: text(wire.agent_id),
            reason: text(wire.reason_code),
            detail: text(wire.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_connection_has_the_documented_fields_and_no_others() {
        let wire = pb::Connection {
            connection_id: "hub-lab".into(),
            epoch: 2,
            site: "lab".into(),
            hub_id: "hub".into(),
            spoke_id: "lab".into(),
            state: pb::ConnectionState::Suspended.into(),
            address: String::new(),
        };
        let expected = json!({
            "connectionId": "hub-lab", "epoch": 2, "site": "lab", "hubId": "hub",
            "spokeId": "lab", "state": "suspended", "address": null,
        });
        assert_eq!(
            serde_json::to_value(ConnectionView::from(wire)).unwrap(),
            expected
        );
    }

    #[test]
    fn a_command_has_the_documented_fields_and_no_others() {
        let wire = pb::CommandRecord {
            kind: pb::CommandKind::Spawn.into(),
            site: "lab".into(),
            on_behalf_of: "ann".into(),
            outcome: pb::CommandOutcome::Refused.into(),
            reason_code: "SPAWNS_LATCHED".into(),
            ..Default::default()
        };
        let expected = json!({
            "commandId": null, "kind": "spawn", "connection": null, "site": "lab",
            "onBehalfOf": "ann", "agentId": null, "outcome": "refused",
            "reason": "SPAWNS_LATCHED", "detail": null, "created": null, "ended": null,
        });
        assert_eq!(
            serde_json::to_value(CommandView::from(wire)).unwrap(),
            expected
        );
    }
}
