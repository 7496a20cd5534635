//! A site's stream as clients get it: frames without a gap, decoded, each about what was asked.
//!
//! Nothing is read ahead: a client that does not read holds up the site, not our memory.

use super::{decode, plain, unreachable_site};
use crate::testimony::{About, Testimony};
use futures_util::stream::{self, BoxStream, StreamExt};
use mosaic_common::proto::MAX_MESSAGE;
use mosaic_common::proto::federation::v1::Frame;
use mosaic_common::{Reason, Refusal};
use mosaic_federation::link::{Frames, LinkError};
use prost::Message;
use tracing::warn;

/// Decodes frames whose numbers have no gap. The first that is wrong ends the stream: what
/// follows it proves nothing.
pub(super) fn decoded<T>(frames: Frames, about: About) -> BoxStream<'static, Result<T, Refusal>>
where
    T: Message + Default + Testimony + 'static,
{
    let state = Some((frames, 1));
    let items = stream::unfold((state, about), |(state, about)| async move {
        let (mut frames, sequence) = state?;
        let item = read(frames.next().await?, sequence, &about);
        let state = item.is_ok().then(|| (frames, sequence + 1));
        Some((item, (state, about)))
    });
    items.boxed()
}

fn read<T>(frame: Result<Frame, LinkError>, sequence: u64, about: &About) -> Result<T, Refusal>
where
    T: Message + Default + Testimony,
{
    let wrong = |what: &str| {
        let problem = format!("a frame of the site {} {what}", about.site);
        warn!(problem, "stream ended");
        Refusal::new(Reason::ReceiptInvalid, problem)
    };
    match frame {
        Ok(frame) if frame.sequence != sequence => Err(wrong("is missing")),
        Ok(frame) if frame.data.len() > MAX_MESSAGE => Err(wrong("is too large")),
        Ok(frame) => decode(frame.data, about),
        Err(LinkError::Rejected(refusal)) => Err(plain(refusal)),
        Err(error @ (LinkError::Connect { .. } | LinkError::Broken(_))) => {
            warn!(%error, "stream broke");
            let what = "the stream from the site broke; resume at the last cursor";
            Err(unreachable_site(what.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::proto::agent::v1 as pb;

    fn frame(sequence: u64, data: &[u8]) -> Result<Frame, LinkError> {
        Ok(Frame {
            sequence,
            data: data.to_vec().into(),
        })
    }

    async fn reasons(frames: Vec<Result<Frame, LinkError>>) -> Vec<Option<Reason>> {
        let about = About {
            site: "a".parse().unwrap(),
            agent: None,
        };
        let items = decoded::<pb::LogsResponse>(stream::iter(frames).boxed(), about);
        let items: Vec<_> = items.collect().await;
        let reason = |item: Result<_, Refusal>| item.err().map(|refusal| refusal.reason);
        items.into_iter().map(reason).collect()
    }

    #[tokio::test]
    async fn the_first_wrong_frame_is_told_and_ends_the_stream() {
        let broken = || Err(LinkError::Broken("gone".into()));
        let draining = || Err(LinkError::Rejected(Refusal::new(Reason::SpokeDraining, "")));
        let large = vec![0; MAX_MESSAGE + 1];
        let table = [
            (vec![frame(1, b""), frame(2, b"")], None),
            (vec![frame(2, b"")], Some(Reason::ReceiptInvalid)),
            (
                vec![frame(1, b""), frame(1, b"")],
                Some(Reason::ReceiptInvalid),
            ),
            (
                vec![frame(1, b""), frame(3, b"")],
                Some(Reason::ReceiptInvalid),
            ),
            (vec![frame(1, b"\xff")], Some(Reason::ReceiptInvalid)),
            (vec![frame(1, &large)], Some(Reason::ReceiptInvalid)),
            (vec![frame(1, b""), broken()], Some(Reason::SiteUnreachable)),
            (vec![draining()], Some(Reason::SpokeDraining)),
        ];
        for (mut frames, reason) in table {
            let said = format!("{frames:?}");
            let sent = frames.len();
            frames.push(frame(sent as u64 + 1, b""));
            let found = reasons(frames).await;
            match reason {
                None => assert_eq!(found, vec![None; sent + 1], "{said}"),
                Some(_) => {
                    assert_eq!(found.len(), sent, "{said}");
                    assert_eq!(found.last(), Some(&reason), "{said}");
                }
            }
        }
    }
}
