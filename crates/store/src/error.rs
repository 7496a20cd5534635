//! What can go wrong with a store. Never what a caller should do about it.

use std::path::PathBuf;

/// The step below that failed, whatever library it came from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The store cannot be read.
    #[error("cannot read the store")]
    Read(#[source] Cause),
    /// The store cannot be written. Nothing of the batch was written.
    #[error("cannot write the store")]
    Write(#[source] Cause),
}
