//! What a script learns from the exit code. Pure: no I/O.

use mosaic_common::{
    Reason,
    agent::{AgentState, Cause},
};
use tonic::Code;

/// The exit codes, as `--help` prints them.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done; with --wait: the agent completed
   1  the agent failed (only with --wait)
   2  wrong usage or malformed input
   3  refused: token, role, grant, latch, conflict, or not in this state
   4  no such agent, site, repository, profile or result
   5  unreachable or overloaded; the same call may succeed later
   6  the agent was killed (only with --wait)
   7  a kill that is not proved: an agent may still run
   8  the agent completed, and was denied permissions on the way (only with --wait)
  10  something is broken here or there";

/// How the program ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked was done.
    Done = 0,
    /// The agent that was waited for failed.
    AgentFailed = 1,
    /// The command line, a file or a field is malformed. Also what clap exits with.
    Usage = 2,
    /// Understood, and not allowed or not possible in this state.
    Refused = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// Nobody answered, or nobody had time; worth another try.
    Unavailable = 5,
    /// The agent that was waited for was killed.
    AgentKilled = 6,
    /// An agent could not be proved dead.
    KillNotProved = 7,
    /// The agent that was waited for completed without permissions that it wanted.
    AgentDenied = 8,
    /// A fault on either side.
    Internal = 10,
}

impl Exit {
    /// The exit for one of our own reasons.
    pub(crate) const fn of_reason(reason: Reason) -> Self {
        use Reason as R;
        match reason {
            R::InvalidRequest | R::RequestTooLarge | R::SiteRequired => Self::Usage,
            R::TokenInvalid
            | R::RoleInsufficient
            | R::CommandRejected
            | R::CommandFromFuture
            | R::CommandLifetimeTooLong
            | R::CommandBeforeFence
            | R::ConnectionSuspended
            | R::GrantKindDenied
            | R::GrantRepositoryDenied
            | R::GrantProfileDenied
            | R::GrantSandboxDenied
            | R::GrantLimitExceeded
            | R::GrantQuotaExceeded
            | R::CommandConflict
            | R::AgentExists
            | R::AgentBarred
            | R::SandboxUnavailable
            | R::SpawnsLatched
            | R::ResultNotReady
            | R::SiteNotActive => Self::Refused,
            R::AgentNotFound
            | R::RepositoryUnknown
            | R::ProfileUnknown
            | R::ResultMissing
            | R::SiteUnknown => Self::NotFound,
            R::RateLimited
            | R::CommandExpired
            | R::CommandInProgress
            | R::SpokeDraining
            | R::QueueFull
            | R::Overloaded
            | R::DiskFull
            | R::TimedOut
            | R::SiteUnreachable
            | R::Undelivered
            | R::StoreUnavailable => Self::Unavailable,
            R::ReceiptInvalid | R::Internal => Self::Internal,
        }
    }

    /// The exit for a status that carries none of our reasons: a proxy, a broken
    /// connection, or a server that is not Mosaic.
    pub(crate) const fn of_code(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::AlreadyExists => Self::Refused,
            Code::NotFound => Self::NotFound,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Aborted => Self::Unavailable,
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Self::Internal,
        }
    }

    /// The exit of a wait that saw the agent end in this state and so; `None`: it has not ended.
    pub(crate) const fn of_end(state: AgentState, cause: Option<&Cause>) -> Option<Self> {
        match state {
            AgentState::Completed => match cause {
                Some(Cause::CompletedWithDenials { .. }) => Some(Self::AgentDenied),
                _ => Some(Self::Done),
            },
            AgentState::Failed => Some(Self::AgentFailed),
            AgentState::Killed => Some(Self::AgentKilled),
            AgentState::Queued
            | AgentState::Spawning
            | AgentState::Running
            | AgentState::Stopping => None,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_exit_code_that_scripts_expect() {
        let table = [
            (Reason::InvalidRequest, 2),
            (Reason::RequestTooLarge, 2),
            (Reason::SiteRequired, 2),
            (Reason::TokenInvalid, 3),
            (Reason::RoleInsufficient, 3),
            (Reason::GrantRepositoryDenied, 3),
            (Reason::GrantQuotaExceeded, 3),
            (Reason::CommandConflict, 3),
            (Reason::AgentExists, 3),
            (Reason::AgentBarred, 3),
            (Reason::SpawnsLatched, 3),
            (Reason::ResultNotReady, 3),
            (Reason::SiteNotActive, 3),
            (Reason::AgentNotFound, 4),
            (Reason::RepositoryUnknown, 4),
            (Reason::SiteUnknown, 4),
            (Reason::ResultMissing, 4),
            (Reason::SiteUnreachable, 5),
            (Reason::SpokeDraining, 5),
            (Reason::QueueFull, 5),
            (Reason::CommandInProgress, 5),
            (Reason::TimedOut, 5),
            (Reason::ReceiptInvalid, 10),
            (Reason::Internal, 10),
        ];
        for (reason, expected) in table {
            assert_eq!(Exit::of_reason(reason) as u8, expected, "{reason}");
        }
    }

    #[test]
    fn no_refusal_looks_like_success_or_like_the_end_of_an_agent() {
        for &reason in Reason::ALL {
            let code = Exit::of_reason(reason) as u8;
            assert!([2, 3, 4, 5, 10].contains(&code), "{reason}: {code}");
        }
        for code in (1..=16).map(Code::from_i32) {
            let exit = Exit::of_code(code) as u8;
            assert!([2, 3, 4, 5, 10].contains(&exit), "{code:?}: {exit}");
        }
    }

    #[test]
    fn only_a_final_state_ends_a_wait() {
        for state in AgentState::ALL {
            assert_eq!(
                Exit::of_end(state, None).is_some(),
                state.is_final(),
                "{state:?}"
            );
        }
    }

    #[test]
    fn denied_permissions_are_not_plain_success() {
        let cause = Cause::CompletedWithDenials { denials: 1 };
        assert_eq!(
            Exit::of_end(cause.state(), Some(&cause)),
            Some(Exit::AgentDenied)
        );
    }

    #[test]
    fn the_help_names_every_code() {
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10] {
            let start = format!("\n{code:>4}  ");
            assert!(HELP.contains(&start), "{code}");
        }
    }
}
