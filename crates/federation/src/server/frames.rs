//! A stream as it travels: the receipt, then numbered frames, then an end that says why.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mosaic_common::proto::MAX_MESSAGE;
use mosaic_common::proto::federation::v1::open_response::Item;
use mosaic_common::proto::federation::v1::{Envelope, Frame, OpenResponse};
use mosaic_common::{Reason, Refusal};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What `Execute::open` gives.
pub(super) type Items = BoxStream<'static, Result<Bytes, Refusal>>;

/// What can end a stream from outside, and the place it holds until then.
pub(super) struct End {
    pub(super) shutdown: CancellationToken,
    pub(super) active: CancellationToken,
    pub(super) place: OwnedSemaphorePermit,
}

/// No frames.
pub(super) fn none() -> Items {
    stream::empty().boxed()
}

/// The receipt, then one frame for each item.
pub(super) fn stream(
    receipt: Envelope,
    items: Items,
    end: End,
) -> BoxStream<'static, Result<OpenResponse, Status>> {
    let first = OpenResponse {
        item: Some(Item::Receipt(receipt)),
    };
    let pump = Pump {
        items,
        end,
        sequence: 0,
    };
    let frames = stream::unfold(Some(pump), |pump| async {
        let (item, pump) = pump?.next().await?;
        Some((item.map_err(Status::from), pump))
    });
    stream::once(async { Ok(first) }).chain(frames).boxed()
}

struct Pump {
    items: Items,
    end: End,
    sequence: u64,
}

impl Pump {
    /// The next frame and what is left; nothing is left after an error.
    async fn next(mut self) -> Option<(Result<OpenResponse, Refusal>, Option<Self>)> {
        let item = tokio::select! {
            biased;
            () = self.end.shutdown.cancelled() => Err(Refusal::new(
                Reason::SpokeDraining,
                "the spoke is shutting down; resume from the last cursor",
            )),
            () = self.end.active.cancelled() => Err(Refusal::new(
                Reason::ConnectionSuspended,
                "the connection is no longer active",
            )),
            item = self.items.next() => item?,
        };
        match item.and_then(fitting) {
            Ok(data) => {
                self.sequence += 1;
                let frame = Frame {
                    sequence: self.sequence,
                    data,
                };
                let response = OpenResponse {
                    item: Some(Item::Frame(frame)),
                };
                Some((Ok(response), Some(self)))
            }
            Err(refusal) => {
                drop(self.end.place);
                Some((Err(refusal), None))
            }
        }
    }
}

fn fitting(data: Bytes) -> Result<Bytes, Refusal> {
    if data.len() <= MAX_MESSAGE {
        return Ok(data);
    }
    let problem = format!("a frame may hold {MAX_MESSAGE} bytes, not {}", data.len());
    Err(Refusal::new(Reason::Internal, problem))
}
