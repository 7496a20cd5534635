//! From the model to the generated types: what goes out.

use crate::agent::{
    AgentRecord, AgentState, Cause, CleanupReport, Event, Fault, Limits, Outcome, Spec, Step,
    TimeLimit, Usage,
};
use crate::ids::AgentId;
use crate::proto::agent::v1 as pb;
use crate::proto::{duration, timestamp};
use pb::cause::Kind;

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
            disk_bytes: limits.disk_bytes.unwrap_or_default(),
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

impl From<&Cause> for pb::Cause {
    fn from(cause: &Cause) -> Self {
        let kind = match cause.clone() {
            Cause::Exit { code } => Kind::ExitCode(code),
            Cause::CompletedWithDenials { denials } => {
                Kind::CompletedWithDenials(pb::CompletedWithDenials { denials })
            }
            Cause::AgentFailed { reason, detail } => Kind::AgentFailed(pb::AgentFailed {
                reason: pb::Fault::from(reason).into(),
                detail,
            }),
            Cause::Signal { signal } => Kind::Signal(signal),
            Cause::OutOfMemory { limit_bytes } => {
                Kind::OutOfMemory(pb::OutOfMemory { limit_bytes })
            }
            Cause::OutOfDisk { limit_bytes } => Kind::OutOfDisk(pb::OutOfDisk { limit_bytes }),
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

impl From<Fault> for pb::Fault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Auth => Self::Auth,
            Fault::RateLimit => Self::RateLimit,
            Fault::Overloaded => Self::Overloaded,
            Fault::Api => Self::Api,
            Fault::Network => Self::Network,
            Fault::MaxTurns => Self::MaxTurns,
            Fault::Budget => Self::Budget,
            Fault::Cancelled => Self::Cancelled,
            Fault::StartFailed => Self::StartFailed,
            Fault::Program => Self::Program,
            Fault::Protocol => Self::Protocol,
        }
    }
}

impl From<Usage> for pb::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cost_micros: usage.cost_micros,
            turns: usage.turns,
        }
    }
}

fn wire_limit(limit: TimeLimit) -> pb::TimeLimit {
    match limit {
        TimeLimit::WallClock => pb::TimeLimit::WallClock,
        TimeLimit::Idle => pb::TimeLimit::Idle,
        TimeLimit::CutOff => pb::TimeLimit::CutOff,
    }
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
        attempts: report.attempts,
        next_attempt_time: report.next_attempt.map(timestamp),
        quarantine: report.quarantine.as_ref().map(|kept| pb::Quarantine {
            path: kept.path.clone(),
            create_time: Some(timestamp(kept.since)),
            expire_time: Some(timestamp(kept.until)),
        }),
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
            usage: record.usage.map(Into::into),
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
        usage: event.usage.map(Into::into),
    }
}
