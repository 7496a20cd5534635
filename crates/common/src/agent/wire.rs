//! Between the model and the generated types. Requests are parsed here and nowhere else.

use super::spec::{TASK_MAX, check_labels, optional, task_or_agent};
use super::{
    AgentRecord, AgentState, Cause, CleanupReport, Event, Limits, Outcome, Spec, Step, TimeLimit,
};
use crate::ids::{AgentId, CommandId};
use crate::proto::agent::v1 as pb;
use crate::proto::{duration, timestamp};
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
    })
}

/// Whole seconds, rounded up, so that a limit of half a second is not none.
fn parse_seconds(
    wire: Option<&prost_types::Duration>,
    field: &str,
) -> Result<Option<u64>, Refusal> {
    let Some(wire) = wire else { return Ok(None) };
    let span = std::time::Duration::try_from(*wire)
        .map_err(|_| Refusal::invalid(field, "must not be negative"))?;
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
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

impl From<&Spec> for pb::AgentSpec {
    fn from(spec: &Spec) -> Self {
        let text = |name: Option<String>| name.unwrap_or_default();
        Self {
            agent_id: spec.agent_id.to_string(),
            task_id: spec.task_id.to_string(),
            repository: text(spec.repository.clone().map(String::from)),
            base_ref: text(spec.base_ref.clone().map(String::from)),
            profile: text(spec.profile.clone().map(String::from)),
            sandbox: text(spec.sandbox.clone().map(String::from)),
            task: spec.task.clone(),
            limits: Some((&spec.limits).into()),
            labels: spec.labels.clone().into_iter().collect(),
        }
    }
}

impl From<&Limits> for pb::Limits {
    fn from(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes.unwrap_or_default(),
            cpu_millis: limits.cpu_millis.unwrap_or_default(),
            pids: limits.pids.unwrap_or_default(),
            wall_clock: limits.wall_clock().map(duration),
            idle: limits.idle().map(duration),
        }
    }
}

impl From<AgentState> for pb::AgentState {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::Queued => Self::Queued,
            AgentState::Spawning => Self::Spawning,
            AgentState::Running => Self::Running,
            AgentState::Stopping => Self::Stopping,
            AgentState::Completed => Self::Completed,
            AgentState::Failed => Self::Failed,
            AgentState::Killed => Self::Killed,
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

impl From<&Cause> for pb::Cause {
    fn from(cause: &Cause) -> Self {
        let kind = match cause.clone() {
            Cause::Exit { code } => Kind::ExitCode(code),
            Cause::Signal { signal } => Kind::Signal(signal),
            Cause::OutOfMemory { limit_bytes } => {
                Kind::OutOfMemory(pb::OutOfMemory { limit_bytes })
            }
            Cause::TimedOut { limit } => Kind::TimedOut(pb::TimedOut {
                limit: wire_limit(limit).into(),
            }),
            Cause::Killed { by, reason } => Kind::Killed(pb::Killed { by, reason }),
            Cause::Barred { by } => Kind::Barred(pb::Barred { by }),
            Cause::SpawnFailed { step, detail } => {
                Kind::SpawnFailed(pb::SpawnFailed { step, detail })
            }
            Cause::Lost { detail } => Kind::Lost(pb::Lost { detail }),
            Cause::Drained => Kind::Drained(pb::Drained {}),
        };
        Self { kind: Some(kind) }
    }
}

fn wire_limit(limit: TimeLimit) -> pb::TimeLimit {
    match limit {
        TimeLimit::WallClock => pb::TimeLimit::WallClock,
        TimeLimit::Idle => pb::TimeLimit::Idle,
    }
}

/// Reads a cause; `None` if its kind is not known here.
#[must_use]
pub fn parse_cause(wire: &pb::Cause) -> Option<Cause> {
    Some(match wire.kind.clone()? {
        Kind::ExitCode(code) => Cause::Exit { code },
        Kind::Signal(signal) => Cause::Signal { signal },
        Kind::OutOfMemory(pb::OutOfMemory { limit_bytes }) => Cause::OutOfMemory { limit_bytes },
        Kind::TimedOut(timed) if timed.limit() == pb::TimeLimit::WallClock => Cause::TimedOut {
            limit: TimeLimit::WallClock,
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

impl From<&Step> for pb::CleanupStep {
    fn from(step: &Step) -> Self {
        let outcome = match step.outcome {
            Outcome::Done => pb::CleanupOutcome::Done,
            Outcome::Skipped => pb::CleanupOutcome::Skipped,
            Outcome::Failed => pb::CleanupOutcome::Failed,
        };
        Self {
            outcome: outcome.into(),
            detail: step.detail.clone(),
        }
    }
}

fn wire_report(report: &CleanupReport, agent: &AgentId) -> pb::CleanupReport {
    let rescue_ref = report.rescue_commit.as_ref().map(|_| rescue_ref(agent));
    pb::CleanupReport {
        sandbox: Some((&report.sandbox).into()),
        rescue: Some((&report.rescue).into()),
        worktree: Some((&report.worktree).into()),
        state: Some((&report.state).into()),
        rescue_commit: report.rescue_commit.clone().unwrap_or_default(),
        rescue_ref: rescue_ref.unwrap_or_default(),
        ignored_files: report.ignored_files,
    }
}

/// Where an agent's rescued work stands, in the results repository.
#[must_use]
pub fn rescue_ref(agent: &AgentId) -> String {
    format!("refs/mosaic/agents/{agent}")
}

impl From<&AgentRecord> for pb::Agent {
    fn from(record: &AgentRecord) -> Self {
        Self {
            agent_id: record.id().to_string(),
            task_id: record.spec.task_id.to_string(),
            site: record.site.to_string(),
            spec: Some((&record.spec).into()),
            state: pb::AgentState::from(record.state).into(),
            cause: record.cause.as_ref().map(Into::into),
            create_time: Some(timestamp(record.created)),
            start_time: record.started.map(timestamp),
            end_time: record.ended.map(timestamp),
            cleanup: record
                .cleanup
                .as_ref()
                .map(|report| wire_report(report, record.id())),
            sandbox: record
                .spec
                .sandbox
                .clone()
                .map(String::from)
                .unwrap_or_default(),
            connection_id: record
                .connection
                .clone()
                .map(String::from)
                .unwrap_or_default(),
            command_id: record.command_id.to_string(),
        }
    }
}

/// An event as it travels: with its place in the log and its site.
#[must_use]
pub fn wire_event(event: &Event, sequence: u64, site: &str) -> pb::Event {
    pb::Event {
        sequence,
        r#type: event.r#type.as_str().to_owned(),
        site: site.to_owned(),
        agent_id: event.agent_id.to_string(),
        task_id: event.task_id.to_string(),
        time: Some(timestamp(event.timestamp)),
        state: pb::AgentState::from(event.state).into(),
        cause: event.cause.as_ref().map(Into::into),
        cleanup: event
            .cleanup
            .as_ref()
            .map(|report| wire_report(report, &event.agent_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(spec: pb::AgentSpec) -> Result<Spec, Refusal> {
        parse_spec(&spec, CommandId::random())
    }

    #[test]
    fn each_malformed_field_is_named() {
        let table: [(&str, pb::AgentSpec); 8] = [
            (
                "spec.agent_id",
                pb::AgentSpec {
                    agent_id: "../x".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.task_id",
                pb::AgentSpec {
                    task_id: "a\nb".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.repository",
                pb::AgentSpec {
                    repository: "https://x".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.base_ref",
                pb::AgentSpec {
                    base_ref: "--output=x".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.profile",
                pb::AgentSpec {
                    profile: "/bin/sh".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.sandbox",
                pb::AgentSpec {
                    sandbox: "a b".into(),
                    ..Default::default()
                },
            ),
            (
                "spec.task",
                pb::AgentSpec {
                    task: "x".repeat(TASK_MAX + 1),
                    ..Default::default()
                },
            ),
            (
                "spec.labels",
                pb::AgentSpec {
                    labels: [("A".into(), "b".into())].into(),
                    ..Default::default()
                },
            ),
        ];
        for (field, spec) in table {
            let refusal = parse(spec).unwrap_err();
            assert_eq!(refusal.reason.as_str(), "INVALID_REQUEST");
            assert!(
                refusal.message.starts_with(field),
                "{field}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn a_spec_survives_the_wire() {
        let asked = pb::AgentSpec {
            task: "do it".into(),
            repository: "web".into(),
            ..Default::default()
        };
        let spec = parse(asked).unwrap();
        assert_eq!(parse((&spec).into()), Ok(spec));
    }

    #[test]
    fn every_cause_survives_the_wire() {
        let causes = [
            Cause::Exit { code: 3 },
            Cause::Signal { signal: 11 },
            Cause::OutOfMemory { limit_bytes: 5 },
            Cause::TimedOut {
                limit: TimeLimit::WallClock,
            },
            Cause::TimedOut {
                limit: TimeLimit::Idle,
            },
            Cause::Killed {
                by: "local:0".into(),
                reason: "enough".into(),
            },
            Cause::Barred { by: "c/x".into() },
            Cause::SpawnFailed {
                step: "worktree".into(),
                detail: "no".into(),
            },
            Cause::Lost {
                detail: "gone".into(),
            },
            Cause::Drained,
        ];
        for cause in causes {
            assert_eq!(parse_cause(&(&cause).into()), Some(cause));
        }
    }
}
