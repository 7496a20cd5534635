//! What is written to the server and read of it, as values.

/// Where the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// The last id it gave; `0-0` when there is none.
    pub(super) id: String,
    /// Its last entry; empty when there is none.
    pub(super) last: String,
}

/// An entry of the stream and what it does to a live key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) json: String,
    pub(super) change: Change,
}

/// What becomes of a live key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Keep,
    Set { row: String, json: String },
    Clear { row: String },
}

/// Whether a write was done: it is not when the stream is elsewhere than the writer thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Written {
    Done,
    Refused,
}

/// The id of an entry.
pub(super) fn id(sequence: u64) -> String {
    format!("{sequence}-0")
}
