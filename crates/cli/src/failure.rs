//! Everything that ends a command early: what it was, which exit code, what to do about it.

use crate::exit::Exit;
use mosaic_common::{Reason, Refusal};
use std::{error::Error, io, time::Duration};
use tonic::{Code, Status};

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something the user typed, or a file they named, cannot be used.
    #[error("{what}")]
    Input {
        /// What, and what is wrong with it.
        what: String,
        /// What to do, if there is something.
        hint: Option<&'static str>,
    },
    /// The server refused, with one of our reasons.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The call ended without one of our reasons: nobody there, or a broken connection.
    #[error("{}", describe(.0))]
    Call(Box<Status>),
    /// The server's answer lacks what it must have.
    #[error("the server's answer has no {0}")]
    Answer(&'static str),
    /// Some sites did not answer; what the others said has been printed.
    #[error("{0} of the sites did not answer")]
    SitesUnreachable(usize),
    /// What was named is not there.
    #[error("{0}")]
    Missing(String),
    /// What was to be made is there already.
    #[error("{0}")]
    Exists(String),
    /// A file of ours cannot be written.
    #[error("{what}")]
    Write {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl Failure {
    /// Something the user can put right.
    pub(crate) fn input(what: impl Into<String>) -> Self {
        Self::Input {
            what: what.into(),
            hint: None,
        }
    }

    /// Something the user can put right, and how.
    pub(crate) fn input_with_hint(what: impl Into<String>, hint: &'static str) -> Self {
        Self::Input {
            what: what.into(),
            hint: Some(hint),
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Input { .. } => Exit::Usage,
            Self::Refused(refusal) => Exit::of_reason(refusal.reason),
            Self::Call(status) if is_broken(status) => Exit::Unavailable,
            Self::Call(status) => Exit::of_code(status.code()),
            Self::SitesUnreachable(_) => Exit::Unavailable,
            Self::Missing(_) => Exit::NotFound,
            Self::Exists(_) => Exit::Refused,
            Self::Answer(_) | Self::Write { .. } => Exit::Internal,
            // Whoever read our output has seen enough, as with `head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(_) => Exit::Internal,
        }
    }

    /// The stable code: the server's reason, or one of the client's own.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Input { .. } => "INVALID_INPUT",
            Self::Refused(refusal) => refusal.reason.as_str(),
            Self::Call(status) if is_broken(status) => "UNREACHABLE",
            Self::Call(status) => code_name(status.code()),
            Self::Answer(_) => "ANSWER_INVALID",
            Self::SitesUnreachable(_) => Reason::SiteUnreachable.as_str(),
            Self::Missing(_) => "NOT_FOUND",
            Self::Exists(_) => "ALREADY_EXISTS",
            Self::Write { .. } => "WRITE_FAILED",
            Self::Output(_) => "OUTPUT_FAILED",
        }
    }

    /// When the same call may be tried again, if the server said so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Input { .. }
            | Self::Call(_)
            | Self::Answer(_)
            | Self::SitesUnreachable(_)
            | Self::Missing(_)
            | Self::Exists(_)
            | Self::Write { .. }
            | Self::Output(_) => None,
        }
    }

    /// What to do about it, if there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Input { hint, .. } => *hint,
            Self::Refused(refusal) => crate::hint::of_reason(refusal.reason),
            Self::Call(status) if is_broken(status) => Some(
                "is the hub or spoke running there? --endpoint or MOSAIC_ENDPOINT says where to look",
            ),
            Self::Call(status) if status.code() == Code::Unimplemented => {
                Some("what listens there is not Mosaic, or is older than this client")
            }
            Self::SitesUnreachable(_) => Some("`mosaic sites` lists the sites and their states"),
            Self::Call(_)
            | Self::Answer(_)
            | Self::Missing(_)
            | Self::Exists(_)
            | Self::Write { .. }
            | Self::Output(_) => None,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match Refusal::from_status(&status) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Call(Box::new(status)),
        }
    }
}

/// Whether the connection broke or could not be made, so that the server may never have
/// seen the request, or may have carried it out without telling.
///
/// tonic gives its own transport errors a source; a status that was received has none.
/// A server that ends a stream abruptly comes out as one of the four codes.
pub(crate) fn is_broken(status: &Status) -> bool {
    status.source().is_some()
        || matches!(
            status.code(),
            Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Aborted
        )
}

/// Says what tonic knows: the innermost cause is the one that helps.
fn describe(status: &Status) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    let mut innermost = None;
    while let Some(error) = cause {
        innermost = Some(error.to_string());
        cause = error.source();
    }
    match innermost {
        Some(inner) if inner != status.message() => {
            format!("{}: {inner}", status.message())
        }
        Some(_) | None => status.message().to_owned(),
    }
}

/// The gRPC code in the spelling of its specification.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_our_reason_becomes_a_refusal_with_its_hint() {
        let sent = Refusal::new(Reason::SpawnsLatched, "kill-all is in force");
        let failure = Failure::from(Status::from(sent));
        assert_eq!(failure.exit(), Exit::Refused);
        assert_eq!(failure.reason(), "SPAWNS_LATCHED");
        assert!(failure.hint().unwrap().contains("mosaic release"));
    }

    #[test]
    fn a_status_without_our_reason_keeps_its_code() {
        let failure = Failure::from(Status::permission_denied("no"));
        assert_eq!(
            (failure.exit(), failure.reason()),
            (Exit::Refused, "PERMISSION_DENIED")
        );
        let failure = Failure::from(Status::unavailable("tcp connect error"));
        assert_eq!(
            (failure.exit(), failure.reason()),
            (Exit::Unavailable, "UNREACHABLE")
        );
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        let failure = Failure::Output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.exit(), Exit::Done);
    }
}
