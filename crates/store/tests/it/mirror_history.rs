//! The mirror where server and store disagree: another history, one that is forgotten or cannot be
//! read, a key that is not ours.

use crate::mirror_stage::{INDEX, Running, STREAM, change, copied, expected, shows, until};
use mosaic_store::{MemoryStore, StateStore, Write};
use mosaic_testkit::valkey::{AppendOnly, Server};
use std::sync::Arc;

#[tokio::test]
async fn a_stream_of_another_history_is_written_anew_whichever_is_longer() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    for (old, new) in [(5, 3), (3, 5), (4, 4)] {
        let store = Arc::new(MemoryStore::new());
        let running = Running::start(&store, &server.url());
        for event in 0..old {
            change(&*store, &format!("old{event}"), &format!("of {old}")).await;
        }
        copied(&server, &store).await;
        running.stop().await;

        let store = Arc::new(MemoryStore::new()); // the disk was lost
        for event in 0..new {
            change(&*store, "new", &format!("of {new} {event}")).await;
        }
        let running = Running::start(&store, &server.url());
        let value = format!("of {new} {}", new - 1);
        shows(&server, &[("new", &value)]).await;
        assert_eq!(copied(&server, &store).await, expected(&store).await);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_somebody_else_wrote_to_is_written_anew() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let mut client = server.client();
    let store = Arc::new(MemoryStore::new());
    change(&*store, "a", "running").await;
    // An id of their own, one like ours, ours with their text, and the last there can be.
    for id in ["*", "7-0", "1-0", "18446744073709551615-0"] {
        client.call(&["XADD", STREAM, id, "event", "theirs"]);
        let running = Running::start(&store, &server.url());
        shows(&server, &[("a", "running")]).await;
        until("it is written anew", || client.stream(STREAM).len() == 1).await;
        assert_eq!(copied(&server, &store).await, expected(&store).await);
        running.stop().await;
        client.call(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn what_was_forgotten_before_it_was_copied_is_told_as_a_gap() {
    let Some(mut server) = Server::start(AppendOnly::Yes) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "1").await;
    change(&*store, "a", "2").await;
    let before = copied(&server, &store).await;
    server.kill();
    for value in 3..=8 {
        change(&*store, "a", &value.to_string()).await;
    }
    store.apply(vec![Write::ForgetEvents(6)]).await.unwrap();
    server.run();
    let mut wanted = before;
    wanted.push(("6-0".into(), r#"{"gap":[3,6]}"#.into()));
    wanted.extend(expected(&store).await);
    assert_eq!(copied(&server, &store).await, wanted);
    running.stop().await;

    // All of it: the gap is the last entry, and the next life takes it for what it is.
    change(&*store, "a", "9").await;
    store.apply(vec![Write::ForgetEvents(9)]).await.unwrap();
    for _ in 0..2 {
        let running = Running::start(&store, &server.url());
        let last = copied(&server, &store).await.pop().unwrap();
        assert_eq!(last, ("9-0".into(), r#"{"gap":[9,9]}"#.into()));
        running.stop().await;
    }
    assert_eq!(server.client().stream(STREAM).len(), wanted.len() + 1);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_a_gap_and_holds_up_nothing() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    store
        .apply(vec![Write::Append(b"?".to_vec())])
        .await
        .unwrap();
    for _ in 0..2 {
        let running = Running::start(&store, &server.url());
        let told = copied(&server, &store).await;
        assert_eq!(told, [("1-0".into(), r#"{"gap":[1,1]}"#.into())]);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_key_of_the_wrong_type_is_left_alone_until_somebody_removes_it() {
    for key in [STREAM, INDEX] {
        let Some(server) = Server::start(AppendOnly::No) else {
            return;
        };
        let mut client = server.client();
        client.call(&["SET", key, "somebody's"]);
        let store = Arc::new(MemoryStore::new());
        change(&*store, "a", "running").await;
        let running = Running::start(&store, &server.url());
        until("it was tried", || {
            client
                .call(&["INFO", "errorstats"])
                .text()
                .contains("WRONGTYPE")
        })
        .await;
        assert_eq!(client.call(&["GET", key]).text(), "somebody's");
        client.call(&["DEL", key]);
        assert_eq!(copied(&server, &store).await, expected(&store).await);
        shows(&server, &[("a", "running")]).await;
        running.stop().await;
    }
}
