//! From the generated types to the model: what comes in is checked here, once.

use crate::agent::spec::{TASK_MAX, check_labels, optional, task_or_agent};
use crate::agent::{AgentState, Cause, Fault, Limits, Spec, TimeLimit, Usage};
use crate::ids::{AgentId, CommandId};
use crate::proto::agent::v1 as pb;
use crate::proto::span;
use crate::refusal::Refusal;
use pb::cause::Kind;

/// Reads what a client asks for. `command` names the agent where the request does not.
///
/// # Errors
/// The field that is malformed.
pub fn parse_spec(wire: &pb::AgentSpec, command: CommandId) -> Result<Spec, Refusal> {
    let agent_id = optional(&wire.agent_id).map_err(|e| Refusal::invalid("spec.agent_id", e))?;
    let agent_id = agent_id.unwrap_or_else(|| AgentId::of_command(command));
    if wire.task.len() > TASK_MAX {
        let problem = format!("at most {TASK_MAX} bytes, not {}", wire.task.len());
        return Err(Refusal::invalid("spec.task", problem));
    }
    let labels = wire.labels.clone().into_iter().collect();
    check_labels(&labels).map_err(|e| Refusal::invalid("spec.labels", e))?;
    Ok(Spec {
        task_id: task_or_agent(&wire.task_id, &agent_id)
            .map_err(|e| Refusal::invalid("spec.task_id", e))?,
        agent_id,
        repository: optional(&wire.repository)
            .map_err(|e| Refusal::invalid("spec.repository", e))?,
        base_ref: optional(&wire.base_ref).map_err(|e| Refusal::invalid("spec.base_ref", e))?,
        profile: optional(&wire.profile).map_err(|e| Refusal::invalid("spec.profile", e))?,
        sandbox: optional(&wire.sandbox).map_err(|e| Refusal::invalid("spec.sandbox", e))?,
        task: wire.task.clone(),
        limits: wire
            .limits
            .as_ref()
            .map_or(Ok(Limits::default()), parse_limits)?,
        labels,
    })
}

fn parse_limits(wire: &pb::Limits) -> Result<Limits, Refusal> {
    Ok(Limits {
        memory_bytes: (wire.memory_bytes > 0).then_some(wire.memory_bytes),
        cpu_millis: (wire.cpu_millis > 0).then_some(wire.cpu_millis),
        pids: (wire.pids > 0).then_some(wire.pids),
        wall_clock_seconds: parse_seconds(wire.wall_clock.as_ref(), "spec.limits.wall_clock")?,
        idle_seconds: parse_seconds(wire.idle.as_ref(), "spec.limits.idle")?,
        disk_bytes: (wire.disk_bytes > 0).then_some(wire.disk_bytes),
    })
}

/// Whole seconds, rounded up, so that a limit of half a second is not none.
fn parse_seconds(
    wire: Option<&prost_types::Duration>,
    field: &str,
) -> Result<Option<u64>, Refusal> {
    let Some(wire) = wire else { return Ok(None) };
    let span = span(wire).ok_or_else(|| Refusal::invalid(field, "must not be negative"))?;
    let seconds = span
        .as_secs()
        .saturating_add(u64::from(span.subsec_nanos() > 0));
    Ok((seconds > 0).then_some(seconds))
}

/// Reads an agent id that must be there.
///
/// # Errors
/// The field that is malformed.
pub fn parse_agent_id(text: &str) -> Result<AgentId, Refusal> {
    text.parse().map_err(|e| Refusal::invalid("agent_id", e))
}

/// Reads a command id, or makes a fresh one where the caller left it to us.
///
/// # Errors
/// The field that is malformed.
pub fn parse_command_id(text: &str) -> Result<CommandId, Refusal> {
    let id = optional(text).map_err(|e| Refusal::invalid("command_id", e))?;
    Ok(id.unwrap_or_else(CommandId::random))
}

impl pb::KillOutcome {
    /// Whether it says that the agent is dead. An outcome that nobody here knows proves nothing.
    #[must_use]
    pub const fn is_proof(self) -> bool {
        match self {
            Self::Killed | Self::AlreadyEnded | Self::NeverStarted => true,
            Self::Unspecified | Self::NotProved | Self::Unreachable => false,
        }
    }
}

/// Reads a state; `None` if it is unspecified or not known here.
#[must_use]
pub fn parse_state(wire: i32) -> Option<AgentState> {
    AgentState::ALL
        .into_iter()
        .find(|state| pb::AgentState::from(*state) as i32 == wire)
}

/// Reads what an agent has used.
#[must_use]
pub fn parse_usage(wire: &pb::Usage) -> Usage {
    Usage {
        input_tokens: wire.input_tokens,
        output_tokens: wire.output_tokens,
        cache_read_tokens: wire.cache_read_tokens,
        cache_write_tokens: wire.cache_write_tokens,
        cost_micros: wire.cost_micros,
        turns: wire.turns,
    }
}

/// Reads a fault; `None` if it is unspecified or not known here.
fn parse_fault(wire: i32) -> Option<Fault> {
    Fault::ALL
        .into_iter()
        .find(|fault| pb::Fault::from(*fault) as i32 == wire)
}

/// Reads a cause; `None` if its kind is not known here.
#[must_use]
pub fn parse_cause(wire: &pb::Cause) -> Option<Cause> {
    Some(match wire.kind.clone()? {
        Kind::ExitCode(code) => Cause::Exit { code },
        Kind::CompletedWithDenials(pb::CompletedWithDenials { denials }) => {
            Cause::CompletedWithDenials { denials }
        }
        Kind::AgentFailed(pb::AgentFailed { reason, detail }) => Cause::AgentFailed {
            reason: parse_fault(reason)?,
            detail,
        },
        Kind::Signal(signal) => Cause::Signal { signal },
        Kind::OutOfMemory(pb::OutOfMemory { limit_bytes }) => Cause::OutOfMemory { limit_bytes },
        Kind::OutOfDisk(pb::OutOfDisk { limit_bytes }) => Cause::OutOfDisk { limit_bytes },
        Kind::TimedOut(timed) if timed.limit() == pb::TimeLimit::WallClock => Cause::TimedOut {
            limit: TimeLimit::WallClock,
        },
        Kind::TimedOut(timed) if timed.limit() == pb::TimeLimit::CutOff => Cause::TimedOut {
            limit: TimeLimit::CutOff,
        },
        Kind::TimedOut(_) => Cause::TimedOut {
            limit: TimeLimit::Idle,
        },
        Kind::Killed(pb::Killed { by, reason }) => Cause::Killed { by, reason },
        Kind::Barred(pb::Barred { by }) => Cause::Barred { by },
        Kind::SpawnFailed(pb::SpawnFailed { step, detail }) => Cause::SpawnFailed { step, detail },
        Kind::Lost(pb::Lost { detail }) => Cause::Lost { detail },
        Kind::Drained(pb::Drained {}) => Cause::Drained,
    })
}
