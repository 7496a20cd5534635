//! How `init` speaks: to a supervisor in frames, to a container engine's log in lines.

use super::frames::{DATA_MAX, Frame};
use super::line::{LINE_DATA_MAX, Line};
use std::io::{Write, stdout};
use std::sync::{Arc, Mutex, PoisonError};

/// The one that speaks on standard output; clones take turns.
#[derive(Debug, Clone)]
pub(super) enum Voice {
    /// To a supervisor, which reads a pipe.
    Frames,
    /// To a log that keeps whole lines; counts the bytes of output that were said.
    Lines(Arc<Mutex<u64>>),
}

impl Voice {
    /// One that speaks to a log.
    pub(super) fn to_log() -> Self {
        Self::Lines(Arc::default())
    }

    /// Most output that one frame may hold.
    pub(super) fn data_max(&self) -> usize {
        match self {
            Self::Frames => DATA_MAX,
            Self::Lines(_) => LINE_DATA_MAX,
        }
    }

    /// Says something. If nobody listens any more, we will be gone soon, too.
    pub(super) fn say(&self, frame: Frame) {
        match self {
            Self::Frames => {
                let mut out = stdout().lock();
                drop(frame.write(&mut out).and_then(|()| out.flush()));
            }
            Self::Lines(said) => {
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                let (at, length) = (*said, frame.data().len() as u64);
                *said += length;
                let line = Line { at, frame }.encode();
                let mut out = stdout().lock();
                drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
            }
        }
    }
}
