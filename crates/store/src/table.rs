//! The words of the store: tables, writes, rows, events. Never how they are kept.

/// The tables. A row is a key and a value; what a value holds is its writer's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Agents, by agent id. JSON.
    Agents,
    /// Claims of commands, by issuer and command id. JSON.
    Claims,
    /// Commands and their outcomes, by command id. JSON.
    Commands,
    /// Hashed bearer tokens, by name. JSON.
    Tokens,
    /// Single values of the process, by name: fence, receipt sequence, latch.
    Meta,
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a row, whether or not it is there. A row that is there keeps its number.
    Put(Table, String, Vec<u8>),
    /// Makes a row that must not be there; if it is, the whole batch is refused.
    Create(Table, String, Vec<u8>),
    /// Removes a row, if it is there.
    Delete(Table, String),
    /// Appends an event to the log.
    Append(Vec<u8>),
    /// Removes every event up to and including this sequence.
    ForgetEvents(u64),
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Rises with every row that is made in any table; never used again.
    pub number: u64,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// A stretch of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// The first sequence that is still kept (head + 1 if none is).
    pub first_kept: u64,
    /// Sequence and value, in order, without gaps.
    pub events: Vec<(u64, Vec<u8>)>,
}
