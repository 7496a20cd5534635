//! Step 8: whether a command is of now. Pure: one reading of the clock is handed in.

use jiff::{SignedDuration, Timestamp};
use mosaic_common::{Reason, Refusal};

/// How far a hub's clock may be ahead of the spoke's.
///
/// Machines that keep their time at all are within a second of each other; much more would
/// let a captured command live that much longer.
pub(crate) const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// How long a command may be valid.
///
/// What bounds the use of a captured command, and how long a replay must be remembered at least.
pub(crate) const LIFETIME_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Checks the times of a command.
///
/// # Errors
/// The first check that failed.
pub(super) fn check(
    issued_at: Timestamp,
    expires_at: Timestamp,
    now: Timestamp,
    fence: Timestamp,
) -> Result<(), Refusal> {
    if issued_at.duration_since(now) > SKEW {
        let problem = "signed more than 30 s ahead of the spoke's clock; set the hub's clock";
        return Err(Refusal::new(Reason::CommandFromFuture, problem));
    }
    if now >= expires_at {
        let problem = "expired by the spoke's clock; sign it again under the same command id";
        return Err(Refusal::new(Reason::CommandExpired, problem));
    }
    if expires_at.duration_since(issued_at) > LIFETIME_MAX {
        let problem = "a command may be valid for five minutes at most";
        return Err(Refusal::new(Reason::CommandLifetimeTooLong, problem));
    }
    if issued_at < fence {
        let wait = std::time::Duration::try_from(fence.duration_since(now)).unwrap_or_default();
        let problem = "signed before the spoke's memory of commands begins; \
                       sign it again under a fresh command id once that is known to be safe";
        return Err(Refusal::new(Reason::CommandBeforeFence, problem).retry_after(wait));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn verdict(issued: i64, expires: i64, fence: i64) -> Option<Reason> {
        let result = check(at(issued), at(expires), at(0), at(fence));
        result.err().map(|refusal| refusal.reason)
    }

    #[test]
    fn each_bound_is_where_the_protocol_says() {
        assert_eq!(verdict(30, 60, -999), None);
        assert_eq!(verdict(31, 60, -999), Some(Reason::CommandFromFuture));
        assert_eq!(verdict(-60, 1, -999), None);
        assert_eq!(verdict(-60, 0, -999), Some(Reason::CommandExpired));
        assert_eq!(verdict(-10, 290, -999), None);
        assert_eq!(
            verdict(-10, 291, -999),
            Some(Reason::CommandLifetimeTooLong)
        );
        assert_eq!(verdict(0, 60, 0), None);
        assert_eq!(verdict(-1, 60, 0), Some(Reason::CommandBeforeFence));
    }

    proptest! {
        #[test]
        fn nothing_is_valid_for_longer_than_lifetime_and_skew(
            issued in -1_000_000i64..1_000_000,
            life in -1_000_000i64..1_000_000,
        ) {
            if check(at(issued), at(issued + life), at(0), at(-9_000_000)).is_ok() {
                prop_assert!(issued <= 30 && issued > -300 && (1..=300).contains(&life));
            }
        }
    }
}
