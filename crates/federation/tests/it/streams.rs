//! Open: a receipt, numbered frames, and an end that says why.

use crate::world::{World, agent};
use futures_util::StreamExt;
use mosaic_common::Reason;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_federation::link::{Link, LinkError};
use std::time::Duration;

#[tokio::test]
async fn a_stream_begins_with_its_receipt_and_numbers_its_frames() {
    let world = World::new().await;
    let command = world.side.sign(&pb::LogsRequest {
        agent_id: agent(),
        ..Default::default()
    });
    for _ in 0..2 {
        let opened = world.side.link.open(command.envelope().clone()).await;
        let (receipt, frames) = opened.unwrap();
        let peer = &world.side.peer;
        let checked = world.side.checker.check(peer, &command, &receipt);
        assert_eq!(checked.unwrap().reason_code, "");
        let frames: Vec<_> = frames.take(2).map(Result::unwrap).collect().await;
        let parts: Vec<_> = frames.iter().map(|f| (f.sequence, &f.data[..])).collect();
        assert_eq!(parts, [(1, &b"one"[..]), (2, &b"two"[..])]);
    }
    assert_eq!(world.executed(), 2);
}

#[tokio::test]
async fn a_refused_stream_is_a_signed_receipt_and_nothing_after_it() {
    let world = World::with(|peer| peer.grant.commands.clear()).await;
    let command = world.side.sign(&pb::WatchRequest::default());
    let opened = world.side.link.open(command.envelope().clone()).await;
    let (receipt, mut frames) = opened.unwrap();
    let peer = &world.side.peer;
    let checked = world.side.checker.check(peer, &command, &receipt).unwrap();
    assert_eq!(checked.reason_code, "GRANT_KIND_DENIED");
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_a_reason_and_then_the_server() {
    let world = World::new().await;
    let command = world.side.sign(&pb::WatchRequest::default());
    let opened = world.side.link.open(command.envelope().clone()).await;
    let mut frames = opened.unwrap().1.skip(2);
    world.running.shutdown.cancel();
    let end = tokio::time::timeout(Duration::from_secs(10), frames.next()).await;
    let Err(LinkError::Rejected(refusal)) = end.unwrap().unwrap() else {
        panic!("the end has no reason");
    };
    assert_eq!(refusal.reason, Reason::SpokeDraining);
    let stopped = tokio::time::timeout(Duration::from_secs(10), world.running.server).await;
    stopped.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_has_a_bounded_number_of_streams() {
    let world = World::new().await;
    let mut open = Vec::new();
    let refusal = loop {
        let command = world.side.sign(&pb::WatchRequest::default());
        match world.side.link.open(command.envelope().clone()).await {
            Ok(stream) => open.push(stream),
            Err(LinkError::Rejected(refusal)) => break refusal,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!((refusal.reason, open.len()), (Reason::Overloaded, 32));
    assert_eq!(world.side.ask(&crate::world::kill()).await, "");
}
