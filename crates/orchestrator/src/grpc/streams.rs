//! What the streams of answers have in common.

use mosaic_common::Refusal;
use tokio_stream::wrappers::ReceiverStream;

/// A stream of one kind of answer. It ends with a refusal, if with an error at all.
pub(super) type Answers<T> = ReceiverStream<Result<T, Refusal>>;

/// Answers that wait for a slow reader: at the largest chunk, half a megabyte a stream.
pub(super) const AHEAD: usize = 16;
