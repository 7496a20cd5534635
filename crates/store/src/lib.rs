//! What a hub or a spoke remembers: rows in a few tables, and one log of events.
//!
//! [`StateStore`] is the seam. A spoke always has the embedded store (SQLite, fsynced);
//! it is the truth about intent. What exists is asked of the machine, never of the store.
//! [`MemoryStore`] is the fake for tests; one contract suite runs on both. A [`valkey::Mirror`]
//! copies what other programs may see of a store; nothing is ever read back from it.

mod embedded;
mod error;
mod memory;
pub mod retention;
mod table;
pub mod valkey;

pub use embedded::{EmbeddedStore, Freshness, Reader};
pub use error::{Cause, Error};
pub use memory::MemoryStore;
pub use table::{Events, Row, Table, Write};

use std::fmt::Debug;
use tokio::sync::watch;

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
