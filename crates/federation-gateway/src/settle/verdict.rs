//! What to do with a command that has no answer, and what a site's words mean for it. Pure.

use crate::forwarder::is_of_memory;
use jiff::{SignedDuration, Timestamp};
use mosaic_common::proto::agent::v1::{Agent, AgentState};
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{Reason, Refusal};
use mosaic_federation::kind;
use mosaic_federation::record::CommandRecord;

/// How long after its end a command may still begin at a site: its clock may be that far behind.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Longest that a command without its bytes can have been valid: those of an older version.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the same bytes again.
    Send,
    /// Nothing: it is void here, but perhaps not yet at its site.
    Wait,
    /// Ask its site what it shows of it: it can take effect no more.
    Ask,
}

/// What was heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was done.
    Done,
    /// Its site refused it.
    Refused(Refusal),
    /// Its site shows nothing of it, and it can take effect no more.
    Never(Refusal),
    /// Nothing that decides it; this is why.
    Nothing(Refusal),
}

/// What to do with a command that expires, or was recorded, then.
pub(super) fn next(expires: Option<Timestamp>, created: Timestamp, now: Timestamp) -> Next {
    let end = expires.unwrap_or(created + LIFETIME);
    if expires.is_some() && now < end {
        Next::Send
    } else if now < end + SKEW {
        Next::Wait
    } else {
        Next::Ask
    }
}

/// What a refusal of the same bytes means.
pub(super) fn of_repeat(refusal: Refusal) -> Heard {
    if is_of_memory(&refusal) {
        Heard::Refused(refusal)
    } else {
        Heard::Nothing(refusal)
    }
}

/// What the state of its agent says of a spawn or a kill.
pub(super) fn of_status(record: &CommandRecord, answer: Result<Option<Agent>, Refusal>) -> Heard {
    let never = |what: String| Heard::Never(Refusal::new(Reason::Undelivered, what));
    let agent = match answer {
        Ok(Some(agent)) => agent,
        Ok(None) => return never("the site has no such agent".into()),
        Err(refusal) if refusal.reason == Reason::AgentNotFound => return never(refusal.message),
        Err(refusal) => return Heard::Nothing(refusal),
    };
    let state = agent.state();
    match kind::parse(&record.kind) {
        Some(CommandKind::Spawn) if agent.command_id == record.command_id.to_string() => {
            Heard::Done
        }
        Some(CommandKind::Kill) if state == AgentState::Killed => Heard::Done,
        Some(CommandKind::Kill) => never(format!("the agent is {}", state.as_str_name())),
        _ => never("the agent is another command's".into()),
    }
}

/// What can be known of a command to all agents of a site.
pub(super) fn of_all() -> Heard {
    let what = "no answer came; whether it was done before is not known";
    Heard::Never(Refusal::new(Reason::Undelivered, what))
}

/// How a command is reported that was never answered and can take effect no more.
pub(super) fn undelivered(why: &Refusal) -> Refusal {
    let what = format!("{}; the command is void", why.message);
    Refusal::new(Reason::Undelivered, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::CommandId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn a_command_is_sent_again_while_it_is_valid_and_asked_for_once_it_is_void_everywhere() {
        let table = [
            (Some(60), 0, Next::Send),
            (Some(60), 59, Next::Send),
            (Some(60), 60, Next::Wait),
            (Some(60), 89, Next::Wait),
            (Some(60), 90, Next::Ask),
            (None, 0, Next::Wait),
            (None, 329, Next::Wait),
            (None, 330, Next::Ask),
        ];
        for (expires, now, wanted) in table {
            let found = next(expires.map(at), at(0), at(now));
            assert_eq!(found, wanted, "{expires:?} {now}");
        }
    }

    #[test]
    fn a_spawn_is_done_if_its_agent_is_there_and_a_kill_if_its_agent_was_killed() {
        let command = CommandId::random();
        let record = |kind| CommandRecord::new(command, kind, None, at(0));
        let agent = |command: CommandId, state: AgentState| {
            Ok(Some(Agent {
                command_id: command.to_string(),
                state: state.into(),
                ..Agent::default()
            }))
        };
        let (spawn, kill) = (record(CommandKind::Spawn), record(CommandKind::Kill));
        assert_eq!(
            of_status(&spawn, agent(command, AgentState::Failed)),
            Heard::Done
        );
        let other = of_status(&spawn, agent(CommandId::random(), AgentState::Running));
        assert!(matches!(other, Heard::Never(_)));
        let none = Refusal::new(Reason::AgentNotFound, "never was");
        assert!(matches!(of_status(&spawn, Err(none)), Heard::Never(_)));
        assert_eq!(
            of_status(&kill, agent(command, AgentState::Killed)),
            Heard::Done
        );
        for state in [AgentState::Running, AgentState::Completed] {
            assert!(matches!(
                of_status(&kill, agent(command, state)),
                Heard::Never(_)
            ));
        }
        let silent = Refusal::new(Reason::SiteUnreachable, "gone");
        assert!(matches!(of_status(&kill, Err(silent)), Heard::Nothing(_)));
    }
}
