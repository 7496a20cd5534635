//! Reads requests: what is malformed is refused here, with its field, before anything is done.

use mosaic_common::agent::Spec;
use mosaic_common::agent::wire::{parse_agent_id, parse_command_id, parse_spec, parse_state};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::span;
use mosaic_common::{AgentId, Alias, CommandId, Refusal, TaskId};
use std::str::FromStr;
use std::time::Duration;

/// Agents on a page when the request does not say.
const PAGE_DEFAULT: u32 = 100;

/// Agents on a page at most: some MiB, which is what a message may hold.
const PAGE_MAX: u32 = 500;

/// Longest reason in bytes, as the protocol says.
const REASON_MAX: usize = 256;

/// The longest grace that is waited for. A spoke caps what it gives by its own configuration.
const GRACE_MAX: Duration = Duration::from_secs(300);

/// The grace that is waited for when the request leaves it to the spoke.
const GRACE_DEFAULT: Duration = Duration::from_secs(10);

/// Reads a spawn: its command, the site it names, and what it asks for.
pub(super) fn spawn(wire: &pb::SpawnRequest) -> Result<(CommandId, Option<Alias>, Spec), Refusal> {
    let command = parse_command_id(&wire.command_id)?;
    let site = site(&wire.site)?;
    let spec = wire.spec.as_ref();
    let spec = spec.ok_or_else(|| Refusal::invalid("spec", "must be set"))?;
    Ok((command, site, parse_spec(spec, command)?))
}

/// Reads a kill: its command, the site it names, its agent, and how long it may take.
pub(super) fn kill(
    wire: &pb::KillRequest,
) -> Result<(CommandId, Option<Alias>, AgentId, Duration), Refusal> {
    let command = parse_command_id(&wire.command_id)?;
    let (site, agent) = agent_at(&wire.site, &wire.agent_id)?;
    reason(&wire.reason)?;
    let grace = wire.grace.as_ref().map_or(Some(GRACE_DEFAULT), span);
    let grace = grace.ok_or_else(|| Refusal::invalid("grace", "must not be negative"))?;
    Ok((command, site, agent, grace.min(GRACE_MAX)))
}

/// Reads a list: the site it names, and how many agents make a page.
pub(super) fn list(wire: &pb::ListRequest) -> Result<(Option<Alias>, u32), Refusal> {
    if let Some(state) = wire
        .states
        .iter()
        .find(|state| parse_state(**state).is_none())
    {
        let problem = format!("there is no state {state}");
        return Err(Refusal::invalid("states", problem));
    }
    if wire.states.len() > PAGE_MAX as usize {
        return Err(Refusal::invalid("states", "more than there are"));
    }
    optional::<TaskId>("task_id", &wire.task_id)?;
    labels(wire)?;
    let size = match wire.page_size {
        0 => PAGE_DEFAULT,
        size => size.min(PAGE_MAX),
    };
    Ok((site(&wire.site)?, size))
}

/// Labels asked for have the form of labels given: what no agent can have is a mistake.
fn labels(wire: &pb::ListRequest) -> Result<(), Refusal> {
    let spec = pb::AgentSpec {
        labels: wire.labels.clone(),
        ..Default::default()
    };
    let checked = parse_spec(&spec, CommandId::random());
    checked.map(drop).map_err(|refusal| Refusal {
        message: refusal.message.replacen("spec.", "", 1),
        ..refusal
    })
}

/// Reads a watch: the site it names, and the agent, if it is about one.
pub(super) fn watch(wire: &pb::WatchRequest) -> Result<(Option<Alias>, Option<AgentId>), Refusal> {
    let agent = match wire.agent_id.as_str() {
        "" => None,
        id => Some(parse_agent_id(id)?),
    };
    Ok((site(&wire.site)?, agent))
}

/// Reads the site and the agent of a request about an agent.
pub(super) fn agent_at(site_name: &str, agent: &str) -> Result<(Option<Alias>, AgentId), Refusal> {
    Ok((site(site_name)?, parse_agent_id(agent)?))
}

/// Reads the name of a site; empty is none.
pub(super) fn site(text: &str) -> Result<Option<Alias>, Refusal> {
    optional("site", text)
}

/// Checks a reason for the record.
pub(super) fn reason(text: &str) -> Result<(), Refusal> {
    if text.len() <= REASON_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = format!("at most {REASON_MAX} bytes, without control characters");
    Err(Refusal::invalid("reason", problem))
}

/// Checks the form of a result.
pub(super) fn format(wire: i32) -> Result<(), Refusal> {
    let known = pb::ResultFormat::try_from(wire);
    let unknown = |_| Refusal::invalid("format", format!("there is no format {wire}"));
    known.map(drop).map_err(unknown)
}

fn optional<T>(field: &str, text: &str) -> Result<Option<T>, Refusal>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse().map(Some);
    parsed.map_err(|error| Refusal::invalid(field, error))
}
