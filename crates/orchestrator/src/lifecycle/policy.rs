//! Decides what a request may do to an agent. Pure: no I/O, no clock, no locks.

use mosaic_common::agent::{AgentRecord, AgentState, Cause};
use mosaic_common::{CommandId, Reason, Refusal};

/// What somebody wants of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// That it be there.
    Spawn,
    /// That it be gone.
    Kill,
}

/// What must be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make it.
    Start,
    /// Nothing: it is as wanted.
    Keep,
    /// End it, and wait for that.
    End,
    /// Make sure that it never starts.
    Bar,
    /// Nothing: it was barred.
    Refuse,
}

/// Returns what `request` does to an agent in `state`; `None` means that there never was one.
#[must_use]
pub fn decide(state: Option<AgentState>, barred: Barred, request: Request) -> Decision {
    use AgentState::{Completed, Failed, Killed, Queued, Running, Spawning, Stopping};
    match (state, barred, request) {
        (None, _, Request::Spawn) => Decision::Start,
        (None, _, Request::Kill) => Decision::Bar,
        (Some(_), Barred::Yes, Request::Spawn) => Decision::Refuse,
        (Some(_), Barred::No, Request::Spawn) => Decision::Keep, // a retry, not a second agent
        (Some(Queued | Spawning | Running | Stopping), _, Request::Kill) => Decision::End,
        (Some(Completed | Failed | Killed), _, Request::Kill) => Decision::Keep,
    }
}

/// Whether an agent was killed before it was spawned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// It was.
    Yes,
    /// It was not.
    No,
}

impl Barred {
    /// Reads it from a record.
    #[must_use]
    pub fn of(record: &AgentRecord) -> Self {
        match record.cause {
            Some(Cause::Barred { .. }) => Self::Yes,
            _ => Self::No,
        }
    }
}

/// Says whether a spawn that found an agent of its id there is a retry of the one that made it.
///
/// # Errors
/// [`Reason::AgentBarred`], [`Reason::CommandConflict`] or [`Reason::AgentExists`].
pub fn retry(there: &AgentRecord, wanted: &AgentRecord) -> Result<(), Refusal> {
    match decide(Some(there.state), Barred::of(there), Request::Spawn) {
        Decision::Refuse => Err(Refusal::new(
            Reason::AgentBarred,
            "the agent was killed before it was spawned",
        )),
        Decision::Keep | Decision::Start | Decision::End | Decision::Bar => {
            same(there, wanted, wanted.command_id)
        }
    }
}

fn same(there: &AgentRecord, wanted: &AgentRecord, command: CommandId) -> Result<(), Refusal> {
    if there.command_id != command || there.connection != wanted.connection {
        let what = format!(
            "an agent {} exists; leave the id out or choose another",
            there.id()
        );
        return Err(Refusal::new(Reason::AgentExists, what));
    }
    if there.spec != wanted.spec {
        let what = "the same command id came before with another request";
        return Err(Refusal::new(Reason::CommandConflict, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spawn_starts_only_what_never_was() {
        assert_eq!(decide(None, Barred::No, Request::Spawn), Decision::Start);
        for state in AgentState::ALL {
            assert_eq!(
                decide(Some(state), Barred::No, Request::Spawn),
                Decision::Keep
            );
            assert_eq!(
                decide(Some(state), Barred::Yes, Request::Spawn),
                Decision::Refuse
            );
        }
    }

    #[test]
    fn a_kill_ends_what_lives_and_bars_what_never_was() {
        assert_eq!(decide(None, Barred::No, Request::Kill), Decision::Bar);
        for state in AgentState::ALL {
            let wanted = if state.is_final() {
                Decision::Keep
            } else {
                Decision::End
            };
            assert_eq!(decide(Some(state), Barred::No, Request::Kill), wanted);
        }
    }
}
