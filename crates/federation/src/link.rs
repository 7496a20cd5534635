//! The way from a hub to one spoke.

use futures_util::stream::BoxStream;
use mosaic_common::proto::federation::v1::{Envelope, Frame};
use std::fmt::Debug;

/// Carries signed commands to one spoke and brings back what it signed. It judges neither.
/// Nothing is ever sent twice by a link: a retry is the caller's decision.
#[async_trait::async_trait]
pub trait Link: Debug + Send + Sync {
    /// Sends a command, returns the receipt.
    ///
    /// # Errors
    /// If no answer came. Whether the spoke acted is unknown, unless the error says otherwise.
    async fn execute(&self, command: Envelope) -> Result<Envelope, LinkError>;

    /// Makes sure that there is a connection, and that the other end answers on it. Says nothing that
    /// is signed, so nothing is proved by it. A link without a wire has nothing to do.
    ///
    /// # Errors
    /// If there is none.
    async fn touch(&self) -> Result<(), LinkError> {
        Ok(())
    }

    /// Sends a command that opens a stream, returns its receipt and the frames that follow.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    async fn open(&self, command: Envelope) -> Result<(Envelope, Frames), LinkError>;
}

/// The frames of an open stream.
pub type Frames = BoxStream<'static, Result<Frame, LinkError>>;

/// Why no answer came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// No connection could be made: the spoke has seen nothing.
    #[error("cannot connect to {address}: {detail}")]
    Connect {
        /// Where.
        address: String,
        /// What went wrong, for the log.
        detail: String,
    },
    /// The spoke would not take the command, and gave no receipt.
    #[error("the spoke turned the command away: {0}")]
    Rejected(mosaic_common::Refusal),
    /// The connection broke before the answer.
    #[error("the connection broke: {0}")]
    Broken(String),
}
