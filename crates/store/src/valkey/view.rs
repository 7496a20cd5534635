//! What of the store is shown in Valkey, and how. The store does not know what its values mean.

use crate::Cause;
use std::fmt::Debug;

/// Says how events and rows look in Valkey. Pure: the same bytes always look the same.
pub trait View: Debug + Send + Sync {
    /// How an event looks.
    ///
    /// # Errors
    /// If its bytes cannot be read; a gap is told in its place.
    fn event(&self, sequence: u64, event: &[u8]) -> Result<Told, Cause>;

    /// How a gap looks: events `first` to `last`, both of which are no longer known.
    fn gap(&self, first: u64, last: u64) -> String;

    /// How the row of [`Told::row`] looks while it is live; `None` when it no longer is.
    ///
    /// # Errors
    /// If its bytes cannot be read; its key stays as it is.
    fn live(&self, row: &[u8]) -> Result<Option<String>, Cause>;
}

/// An event as it looks in Valkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The entry.
    pub json: String,
    /// The key in [`Table::Agents`](crate::Table::Agents) of the row it is about.
    pub row: String,
    /// Whether it is an end: a row that is not live loses its key with this event.
    pub is_end: bool,
}
