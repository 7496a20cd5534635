//! What a hub or a spoke remembers: rows in a few tables, and one log of events.
//!
//! [`StateStore`] is the seam. A spoke always has the embedded store (SQLite, fsynced);
//! it is the truth about intent. What exists is asked of the machine, never of the store.

mod embedded;
mod memory;
pub mod retention;

pub use embedded::{EmbeddedStore, Freshness, Reader};
pub use memory::MemoryStore;

use std::fmt::Debug;
use tokio::sync::watch;

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

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `Create` found its key taken. Nothing of the batch was written.
    #[error("{key} exists already")]
    Exists {
        /// The key.
        key: String,
        /// The value that is there.
        value: Vec<u8>,
    },
    /// The store cannot be opened.
    #[error("cannot open the store at {path}")]
    Open {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be read.
    #[error("cannot read the store")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot be written. Nothing of the batch was written.
    #[error("cannot write the store")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A durable memory of rows and events.
#[async_trait::async_trait]
pub trait StateStore: Debug + Send + Sync {
    /// Applies every write, in order, or none. Durable when it returns. Returns the sequences
    /// given to the appended events, in order.
    ///
    /// # Errors
    /// [`Error::Exists`] or [`Error::Write`]; nothing was written then.
    async fn apply(&self, batch: Vec<Write>) -> Result<Vec<u64>, Error>;

    /// Reads one row's value.
    ///
    /// # Errors
    /// [`Error::Read`].
    async fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Reads rows, newest first: at most `limit` of those numbered below `before`.
    ///
    /// # Errors
    /// [`Error::Read`].
    async fn scan(
        &self,
        table: Table,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Row>, Error>;

    /// Reads events, oldest first: at most `limit` of those after sequence `after`.
    ///
    /// # Errors
    /// [`Error::Read`].
    async fn events(&self, after: u64, limit: usize) -> Result<Events, Error>;

    /// The sequence of the newest durable event, 0 for none. Changes wake the receiver.
    fn head(&self) -> watch::Receiver<u64>;
}
