//! The fence: the moment before which this store may have forgotten what was executed.

use crate::verify::SKEW;
use jiff::Timestamp;
use mosaic_common::Clock;
use mosaic_store::{Error, StateStore, Table, Write};

const KEY: &str = "fence";

/// What is known of a store's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The identity was made just now: nobody can have signed anything for it before.
    New,
    /// The identity is older than this start. If the store has lost its fence, it is a store
    /// that was lost and made again.
    Kept,
    /// The operator says that the store was restored from a copy.
    Restored,
}

/// Returns the fence, and makes one durably where there is none.
///
/// # Errors
/// If the store cannot be used, or holds a fence that cannot be read.
pub(super) async fn establish(
    store: &dyn StateStore,
    clock: &dyn Clock,
    memory: Memory,
) -> Result<Timestamp, Error> {
    let found = store.get(Table::Meta, KEY).await?;
    let fence = match (found, memory) {
        (Some(value), Memory::New | Memory::Kept) => return parse(&value),
        (None, Memory::New) => Timestamp::UNIX_EPOCH,
        // A command signed by a clock that is ahead may have been executed before the loss.
        (None, Memory::Kept) | (_, Memory::Restored) => clock.now() + SKEW,
    };
    let value = fence.to_string().into_bytes();
    let write = Write::Put(Table::Meta, KEY.to_owned(), value);
    store.apply(vec![write]).await?;
    Ok(fence)
}

fn parse(value: &[u8]) -> Result<Timestamp, Error> {
    let text = std::str::from_utf8(value).map_err(|error| Error::Read(error.into()))?;
    text.parse()
        .map_err(|error: jiff::Error| Error::Read(error.into()))
}
