//! Between the model and the generated types. Requests are parsed here and nowhere else.

mod parse;
mod tell;

pub use parse::{
    parse_agent_id, parse_cause, parse_command_id, parse_spec, parse_state, parse_usage,
};
pub use tell::{rescue_ref, wire_event};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::spec::TASK_MAX;
    use crate::agent::{Cause, Fault, Spec, TimeLimit, Usage};
    use crate::ids::CommandId;
    use crate::proto::agent::v1 as pb;
    use crate::refusal::Refusal;

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
            Cause::OutOfDisk { limit_bytes: 6 },
            Cause::TimedOut {
                limit: TimeLimit::WallClock,
            },
            Cause::TimedOut {
                limit: TimeLimit::Idle,
            },
            Cause::TimedOut {
                limit: TimeLimit::CutOff,
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
            Cause::CompletedWithDenials { denials: 2 },
        ];
        let faults = Fault::ALL.map(|reason| Cause::AgentFailed {
            reason,
            detail: "no".into(),
        });
        for cause in causes.into_iter().chain(faults) {
            assert_eq!(parse_cause(&(&cause).into()), Some(cause));
        }
    }

    #[test]
    fn usage_survives_the_wire() {
        let usage = Usage {
            input_tokens: 1,
            output_tokens: 2,
            cache_read_tokens: 3,
            cache_write_tokens: 4,
            cost_micros: 5,
            turns: 6,
        };
        assert_eq!(parse_usage(&usage.into()), usage);
    }
}
