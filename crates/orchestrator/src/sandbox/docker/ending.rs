//! What the last word of a container's first process and the engine's account of it mean. Pure.

use super::seen::Seen;
use crate::sandbox::Ending;
use crate::sandbox::supervise::Frame;

/// Engines report a process that a signal killed by this and the signal's number.
const SIGNALLED: i64 = 128;

/// How the program ended: as its parent said, else as far as the engine knows.
pub(super) fn ending(last: Option<Frame>, seen: Option<&Seen>) -> Ending {
    match (last, seen) {
        (Some(Frame::Exited(code)), _) => Ending::Exit(code),
        (Some(Frame::Signalled(signal)), _) => Ending::Signal(signal),
        (Some(Frame::OutOfMemory), _) => Ending::OutOfMemory,
        (Some(Frame::Failed(why)), _) => Ending::Unknown(why),
        (Some(Frame::Untold), _) => Ending::Unknown("it was not told what to start".to_owned()),
        (_, None) => Ending::Unknown("its container was removed by somebody else".to_owned()),
        // Its parent was killed with it.
        (_, Some(seen)) if seen.out_of_memory => Ending::OutOfMemory,
        (_, Some(seen)) => match i32::try_from(seen.exit_code - SIGNALLED) {
            Ok(signal @ 1..=64) => Ending::Signal(signal),
            _ if seen.error.is_empty() => Ending::Unknown(format!(
                "its container ended with code {} and without a word",
                seen.exit_code
            )),
            _ => Ending::Unknown(seen.error.clone()),
        },
    }
}

/// How a death was seen, for people.
pub(super) fn proof(stopped: &Seen) -> String {
    match stopped.id.get(..12) {
        Some(id) => format!(
            "container {id} had stopped ({:?}) and is removed",
            stopped.phase
        ),
        None => "its container is gone".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::Phase;
    use super::*;

    fn stopped(exit_code: i64, out_of_memory: bool) -> Seen {
        Seen {
            phase: Phase::Exited,
            exit_code,
            out_of_memory,
            ..Seen::gone()
        }
    }

    #[test]
    fn the_parents_word_counts_before_the_engines() {
        let seen = stopped(137, true);
        assert_eq!(
            ending(Some(Frame::Exited(137)), Some(&seen)),
            Ending::Exit(137)
        );
        assert_eq!(
            ending(Some(Frame::Signalled(9)), Some(&seen)),
            Ending::Signal(9)
        );
    }

    #[test]
    fn without_its_word_the_engine_is_asked() {
        assert_eq!(ending(None, Some(&stopped(137, true))), Ending::OutOfMemory);
        assert_eq!(ending(None, Some(&stopped(137, false))), Ending::Signal(9));
        assert_eq!(
            ending(Some(Frame::Runs), Some(&stopped(143, false))),
            Ending::Signal(15)
        );
    }

    #[test]
    fn what_nobody_saw_is_unknown() {
        for unknown in [
            ending(None, None),
            ending(None, Some(&stopped(0, false))),
            ending(Some(Frame::Untold), Some(&stopped(1, false))),
        ] {
            assert!(matches!(unknown, Ending::Unknown(_)), "{unknown:?}");
        }
    }
}
