//! Why a request was not done: one stable code each, and its one translation to gRPC.

use std::{fmt, str::FromStr, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `google.rpc.ErrorInfo` we send.
const DOMAIN: &str = "mosaic";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident;)*) => {
        /// A stable code for why something was not done. `docs/errors.md` says what to do about each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it travels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The gRPC status that goes with it.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }
        }
    };
}

reasons! {
    /// A field of the request is malformed; the message names it.
    InvalidRequest = "INVALID_REQUEST", InvalidArgument;
    /// The request is larger than is accepted.
    RequestTooLarge = "REQUEST_TOO_LARGE", ResourceExhausted;
    /// No bearer token, or none that is known.
    TokenInvalid = "TOKEN_INVALID", Unauthenticated;
    /// The token's role does not allow this.
    RoleInsufficient = "ROLE_INSUFFICIENT", PermissionDenied;
    /// The command could not be attributed to this connection; the spoke's audit log knows more.
    CommandRejected = "COMMAND_REJECTED", PermissionDenied;
    /// The command was signed with a clock too far ahead of the spoke's.
    CommandFromFuture = "COMMAND_FROM_FUTURE", FailedPrecondition;
    /// The command had expired by the spoke's clock.
    CommandExpired = "COMMAND_EXPIRED", DeadlineExceeded;
    /// The command is valid for longer than five minutes.
    CommandLifetimeTooLong = "COMMAND_LIFETIME_TOO_LONG", FailedPrecondition;
    /// The command is older than the spoke's memory of commands.
    CommandBeforeFence = "COMMAND_BEFORE_FENCE", FailedPrecondition;
    /// The connection is suspended: status and kill only.
    ConnectionSuspended = "CONNECTION_SUSPENDED", PermissionDenied;
    /// The grant does not list this kind of command.
    GrantKindDenied = "GRANT_KIND_DENIED", PermissionDenied;
    /// The grant does not list this repository.
    GrantRepositoryDenied = "GRANT_REPOSITORY_DENIED", PermissionDenied;
    /// The grant does not list this agent profile.
    GrantProfileDenied = "GRANT_PROFILE_DENIED", PermissionDenied;
    /// The grant does not list this sandbox.
    GrantSandboxDenied = "GRANT_SANDBOX_DENIED", PermissionDenied;
    /// A wanted limit is above what the grant allows.
    GrantLimitExceeded = "GRANT_LIMIT_EXCEEDED", PermissionDenied;
    /// The connection has as many agents as its grant allows.
    GrantQuotaExceeded = "GRANT_QUOTA_EXCEEDED", ResourceExhausted;
    /// The connection sends commands faster than its grant allows.
    RateLimited = "RATE_LIMITED", ResourceExhausted;
    /// The same command id came before with another request.
    CommandConflict = "COMMAND_CONFLICT", AlreadyExists;
    /// The same command is being executed now.
    CommandInProgress = "COMMAND_IN_PROGRESS", Aborted;
    /// There never was such an agent here.
    AgentNotFound = "AGENT_NOT_FOUND", NotFound;
    /// An agent of this id exists that was asked for by another command.
    AgentExists = "AGENT_EXISTS", AlreadyExists;
    /// The agent was killed before it was spawned.
    AgentBarred = "AGENT_BARRED", FailedPrecondition;
    /// The spoke has no repository of this name.
    RepositoryUnknown = "REPOSITORY_UNKNOWN", NotFound;
    /// The spoke has no agent profile of this name.
    ProfileUnknown = "PROFILE_UNKNOWN", NotFound;
    /// The spoke has no such sandbox, or cannot use it.
    SandboxUnavailable = "SANDBOX_UNAVAILABLE", FailedPrecondition;
    /// The spoke is shutting down.
    SpokeDraining = "SPOKE_DRAINING", Unavailable;
    /// Kill-all has been called and not been released.
    SpawnsLatched = "SPAWNS_LATCHED", FailedPrecondition;
    /// As many agents wait as may wait.
    QueueFull = "QUEUE_FULL", ResourceExhausted;
    /// The spoke's disk has less room left than it keeps free.
    DiskFull = "DISK_FULL", ResourceExhausted;
    /// More requests at once than are served.
    Overloaded = "OVERLOADED", ResourceExhausted;
    /// The request took longer than is allowed.
    TimedOut = "TIMED_OUT", DeadlineExceeded;
    /// The agent has not ended yet.
    ResultNotReady = "RESULT_NOT_READY", FailedPrecondition;
    /// The agent had no repository, or its work could not be rescued.
    ResultMissing = "RESULT_MISSING", NotFound;
    /// The hub has no site of this name.
    SiteUnknown = "SITE_UNKNOWN", NotFound;
    /// More than one site is active; the request must name one.
    SiteRequired = "SITE_REQUIRED", InvalidArgument;
    /// The connection to the site is not active.
    SiteNotActive = "SITE_NOT_ACTIVE", FailedPrecondition;
    /// The site could not be reached, or did not answer in time.
    SiteUnreachable = "SITE_UNREACHABLE", Unavailable;
    /// No answer came while the command was valid, and the site does not show that it was done.
    Undelivered = "UNDELIVERED", Unavailable;
    /// The site answered with a receipt that does not prove itself.
    ReceiptInvalid = "RECEIPT_INVALID", DataLoss;
    /// The store could not be read or written.
    StoreUnavailable = "STORE_UNAVAILABLE", Unavailable;
    /// Something went wrong here; the log says what.
    Internal = "INTERNAL", Internal;
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or(())
    }
}

/// A request that was not done: why, in words for its sender, and when to try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// What was wrong, where, and what to do. Never a cause from inside.
    pub message: String,
    /// When the same request may be tried again; `None`: not as it is.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal without a retry hint.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
        }
    }

    /// A malformed field.
    pub fn invalid(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(Reason::InvalidRequest, format!("{field}: {problem}"))
    }

    /// The same refusal with a retry hint.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// Reads a refusal from a status; `None` if the sender was not one of ours.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        Some(Self {
            reason: info.reason.parse().ok()?,
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        })
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::with_error_info(refusal.reason.as_str(), DOMAIN, []);
        if let Some(wait) = refusal.retry_after {
            details.set_retry_info(Some(wait));
        }
        Self::with_error_details(refusal.reason.code(), refusal.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for &reason in Reason::ALL {
            let sent = Refusal::new(reason, "why").retry_after(Duration::from_millis(1500));
            let status = Status::from(sent.clone());
            assert_eq!(status.code(), reason.code());
            assert_eq!(Refusal::from_status(&status), Some(sent));
        }
    }

    #[test]
    fn codes_are_upper_snake_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for reason in Reason::ALL {
            assert!(
                reason
                    .as_str()
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b == b'_')
            );
            assert!(seen.insert(reason.as_str()), "{reason} twice");
        }
    }
}
