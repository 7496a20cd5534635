//! What to do about each refusal. Pure: no I/O.

use mosaic_common::Reason;

/// Returns what a user can do about `reason`; `None` where the message says it all.
pub(crate) const fn of_reason(reason: Reason) -> Option<&'static str> {
    use Reason as R;
    match reason {
        R::TokenInvalid => Some(
            "give a token with --token-file or MOSAIC_TOKEN_FILE; `mosaic token create` makes one",
        ),
        R::RoleInsufficient => Some("this needs a token of the role admin"),
        R::CommandRejected | R::ConnectionSuspended | R::SiteNotActive => {
            Some("`mosaic connections` shows the state of each connection")
        }
        R::CommandFromFuture | R::CommandExpired | R::CommandBeforeFence => {
            Some("compare the clocks of hub and spoke")
        }
        R::GrantKindDenied
        | R::GrantRepositoryDenied
        | R::GrantProfileDenied
        | R::GrantSandboxDenied
        | R::GrantLimitExceeded
        | R::GrantQuotaExceeded => Some("the spoke's operator decides what the grant allows"),
        R::CommandConflict => Some("leave out --command-id, or repeat exactly the same request"),
        R::CommandInProgress => Some("repeat it with the same --command-id in a moment"),
        R::AgentNotFound => Some("`mosaic ps --all` lists agents"),
        R::AgentExists | R::AgentBarred => Some("leave out --id, or choose another"),
        R::SandboxUnavailable => Some("leave out --sandbox for the spoke's default"),
        R::SpawnsLatched => Some("`mosaic release` takes back kill-all"),
        R::ResultNotReady => Some("`mosaic watch ID` waits for its end"),
        R::Undelivered => {
            Some("look at the agents of the site; give the command again if it is still wanted")
        }
        R::SiteUnknown | R::SiteUnreachable => Some("`mosaic sites` lists the sites"),
        R::SiteRequired => Some("name one with --site; `mosaic sites` lists them"),
        R::RateLimited | R::QueueFull | R::Overloaded | R::TimedOut | R::SpokeDraining => {
            Some("try again later")
        }
        R::DiskFull => Some("the spoke's operator can make room; agents that end make some, too"),
        R::ReceiptInvalid | R::StoreUnavailable | R::Internal => {
            Some("the log of the hub and the spoke says more")
        }
        R::InvalidRequest
        | R::RequestTooLarge
        | R::CommandLifetimeTooLong
        | R::RepositoryUnknown
        | R::ProfileUnknown
        | R::ResultMissing => None,
    }
}
