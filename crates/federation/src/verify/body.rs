//! Step 9, its second half: what is inside a command, and whether the grant lists it.

use super::Proven;
use crate::kind::Request;
use mosaic_common::agent::wire::{parse_agent_id, parse_spec};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{AgentId, Alias, Refusal};

/// Decodes the body as the request its kind names, and checks every name in it.
/// Returns the agent it is about.
///
/// # Errors
/// `INVALID_REQUEST`, or the line of the grant that does not list a name.
pub(super) fn check(proven: &Proven, site: &Alias) -> Result<Option<AgentId>, Refusal> {
    match proven.kind {
        CommandKind::Unspecified => Err(Refusal::invalid("kind", "must be given")),
        CommandKind::Spawn => {
            let asked: pb::SpawnRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            check_command_id(&asked.command_id, proven)?;
            let spec = asked.spec.unwrap_or_default();
            let spec = parse_spec(&spec, proven.id)?;
            proven.connection.peer().grant.check_spec(&spec)?;
            Ok(Some(spec.agent_id))
        }
        CommandKind::Status => {
            let asked: pb::GetRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            parse_agent_id(&asked.agent_id).map(Some)
        }
        CommandKind::List => {
            let asked: pb::ListRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            Ok(None)
        }
        CommandKind::Kill => {
            let asked: pb::KillRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            check_command_id(&asked.command_id, proven)?;
            parse_agent_id(&asked.agent_id).map(Some)
        }
        CommandKind::KillAll => {
            let asked: pb::KillAllRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            check_command_id(&asked.command_id, proven)?;
            Ok(None)
        }
        CommandKind::Release => {
            let asked: pb::ReleaseRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            check_command_id(&asked.command_id, proven)?;
            Ok(None)
        }
        CommandKind::Watch => {
            let asked: pb::WatchRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            if asked.agent_id.is_empty() {
                return Ok(None);
            }
            parse_agent_id(&asked.agent_id).map(Some)
        }
        CommandKind::Logs => {
            let asked: pb::LogsRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            parse_agent_id(&asked.agent_id).map(Some)
        }
        CommandKind::Result => {
            let asked: pb::ResultRequest = decode(proven)?;
            check_site(&asked.site, site)?;
            parse_agent_id(&asked.agent_id).map(Some)
        }
    }
}

fn decode<R: Request>(proven: &Proven) -> Result<R, Refusal> {
    R::decode(proven.body.clone())
        .map_err(|_| Refusal::invalid("body", "is not the request that the kind names"))
}

/// The audience says who is meant; a second name that disagrees is an error, never a choice.
fn check_site(named: &str, own: &Alias) -> Result<(), Refusal> {
    if named.is_empty() || named == own.as_str() {
        return Ok(());
    }
    let problem = format!("must be empty or {own}");
    Err(Refusal::invalid("site", problem))
}

fn check_command_id(named: &str, proven: &Proven) -> Result<(), Refusal> {
    if named.is_empty() || named == proven.id.to_string() {
        return Ok(());
    }
    let problem = "must be empty or the id of the command that carries it";
    Err(Refusal::invalid("command_id", problem))
}
