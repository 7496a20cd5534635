//! Decides what the event log may forget. Pure: no I/O, no clock; the caller writes it.

/// Returns the sequence up to and including which events may go, so that the newest `keep`
/// stay; `None` if nothing may. Made to be handed to [`Write::ForgetEvents`](crate::Write).
pub fn forget_before(head: u64, keep: u64) -> Option<u64> {
    head.checked_sub(keep).filter(|last| *last > 0)
}

#[cfg(test)]
mod tests {
    use super::forget_before;

    #[test]
    fn the_newest_are_kept() {
        assert_eq!(forget_before(10, 3), Some(7)); // 8, 9 and 10 stay
        assert_eq!(forget_before(u64::MAX, 1), Some(u64::MAX - 1));
    }

    #[test]
    fn a_log_within_its_limit_is_left_alone() {
        assert_eq!(forget_before(0, 0), None);
        assert_eq!(forget_before(2, 3), None);
        assert_eq!(forget_before(3, 3), None);
    }

    #[test]
    fn keeping_none_forgets_all() {
        assert_eq!(forget_before(5, 0), Some(5));
    }
}
