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
            let asked: pb::SpawnRequest = decode(proven, site)?;
            let spec = parse_spec(&asked.spec.unwrap_or_default(), proven.id)?;
            proven.connection.peer().grant.check_spec(&spec)?;
            Ok(Some(spec.agent_id))
        }
        CommandKind::Status => agent(&decode::<pb::GetRequest>(proven, site)?.agent_id),
        CommandKind::Kill => agent(&decode::<pb::KillRequest>(proven, site)?.agent_id),
        CommandKind::Logs => agent(&decode::<pb::LogsRequest>(proven, site)?.agent_id),
        CommandKind::Result => agent(&decode::<pb::ResultRequest>(proven, site)?.agent_id),
        CommandKind::List => decode::<pb::ListRequest>(proven, site).map(|_| None),
        CommandKind::KillAll => decode::<pb::KillAllRequest>(proven, site).map(|_| None),
        CommandKind::Release => decode::<pb::ReleaseRequest>(proven, site).map(|_| None),
        CommandKind::Watch => {
            let asked: pb::WatchRequest = decode(proven, site)?;
            if asked.agent_id.is_empty() {
                return Ok(None);
            }
            agent(&asked.agent_id)
        }
    }
}

fn agent(id: &str) -> Result<Option<AgentId>, Refusal> {
    parse_agent_id(id).map(Some)
}

/// Decodes a body; the envelope around it says who is meant and which command this is, so a
/// second name inside that disagrees is an error, never a choice.
fn decode<R: Scoped>(proven: &Proven, site: &Alias) -> Result<R, Refusal> {
    let asked = R::decode(proven.body.clone())
        .map_err(|_| Refusal::invalid("body", "is not the request that the kind names"))?;
    if !asked.site().is_empty() && asked.site() != site.as_str() {
        let problem = format!("must be empty or {site}");
        return Err(Refusal::invalid("site", problem));
    }
    if !asked.command_id().is_empty() && asked.command_id() != proven.id.to_string() {
        let problem = "must be empty or the id of the command that carries it";
        return Err(Refusal::invalid("command_id", problem));
    }
    Ok(asked)
}

/// The names in a request that the envelope gives as well.
trait Scoped: Request {
    fn site(&self) -> &str;
    /// Empty where the request has none.
    fn command_id(&self) -> &str;
}

macro_rules! scoped {
    ($($request:ident: $self:ident => $command_id:expr;)*) => {$(
        impl Scoped for pb::$request {
            fn site(&self) -> &str {
                &self.site
            }
            fn command_id(&$self) -> &str {
                $command_id
            }
        }
    )*};
}

scoped! {
    SpawnRequest: self => &self.command_id;
    KillRequest: self => &self.command_id;
    KillAllRequest: self => &self.command_id;
    ReleaseRequest: self => &self.command_id;
    GetRequest: self => "";
    ListRequest: self => "";
    WatchRequest: self => "";
    LogsRequest: self => "";
    ResultRequest: self => "";
}
