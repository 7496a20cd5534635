//! What there is instead of an answer, and whether it says what became of the command.

use mosaic_common::{Reason, Refusal};

/// What there is instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// It is known that nothing more will come of the command as it was sent.
    Said(Refusal),
    /// The command may be on its way, or be carried out this moment.
    Unknown(Refusal),
}

impl Miss {
    /// What a site's refusal says. One that is busy with the same command will yet have an answer.
    #[must_use]
    pub fn of_site(refusal: Refusal) -> Self {
        if refusal.reason == Reason::CommandInProgress {
            Self::Unknown(refusal)
        } else {
            Self::Said(refusal)
        }
    }

    /// Whether it ends the command. If that was sent before without an answer, only words from
    /// behind the site's memory of commands do.
    #[must_use]
    pub(crate) fn decides(&self, lacks_an_answer: bool) -> bool {
        match self {
            Self::Said(refusal) => !lacks_an_answer || is_of_memory(refusal),
            Self::Unknown(_) => false,
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> &Refusal {
        match self {
            Self::Said(refusal) | Self::Unknown(refusal) => refusal,
        }
    }
}

impl From<Miss> for Refusal {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Said(refusal) | Miss::Unknown(refusal) => refusal,
        }
    }
}

/// Whether a refusal of a command that was sent before says what became of it. One that a site
/// gives before it looks whether it has done it, or that passes, does not.
pub(crate) fn is_of_memory(refusal: &Refusal) -> bool {
    let is_before = matches!(
        refusal.reason,
        Reason::SiteUnreachable
            | Reason::CommandRejected
            | Reason::RateLimited
            | Reason::Overloaded
            | Reason::CommandFromFuture
            | Reason::CommandExpired
            | Reason::CommandLifetimeTooLong
            | Reason::CommandBeforeFence
            | Reason::ConnectionSuspended
            | Reason::GrantKindDenied
            | Reason::GrantRepositoryDenied
            | Reason::GrantProfileDenied
            | Reason::GrantSandboxDenied
            | Reason::GrantLimitExceeded
            | Reason::StoreUnavailable
    );
    !is_before && refusal.retry_after.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_from_behind_the_memory_end_what_was_sent_before() {
        let said = |reason| Miss::Said(Refusal::new(reason, "x"));
        let table = [
            (Reason::SpawnsLatched, true),
            (Reason::AgentBarred, true),
            (Reason::SiteUnreachable, false),
            (Reason::CommandExpired, false),
            (Reason::GrantKindDenied, false),
        ];
        for (reason, ends) in table {
            assert_eq!(said(reason).decides(true), ends, "{reason}");
            assert!(said(reason).decides(false), "{reason}");
        }
        let passes = Refusal::new(Reason::QueueFull, "x").retry_after(std::time::Duration::ZERO);
        assert!(!Miss::Said(passes).decides(true));
        let busy = Miss::of_site(Refusal::new(Reason::CommandInProgress, "x"));
        assert!(!busy.decides(false));
    }
}
