//! The mirror on a real server that is killed, stopped or emptied. Whatever happens, the stream ends as every event once and in order, and the keys as what is live.

use crate::mirror_stage::{
    INDEX, Running, STREAM, change, copied, end, expected, live, shows, until,
};
use mosaic_store::{MemoryStore, StateStore, Write};
use mosaic_testkit::valkey::{AppendOnly, Reply, Server};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

async fn killed_in_mid_write(append_only: AppendOnly) {
    let Some(mut server) = Server::start(append_only) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "ends-meanwhile", "queued").await;
    change(&*store, "stays", "queued").await;
    shows(
        &server,
        &[("ends-meanwhile", "queued"), ("stays", "queued")],
    )
    .await;
    for round in 0..3 {
        // A writer that neither waits for the server nor knows of it.
        let writer = {
            let store = store.clone();
            tokio::spawn(async move {
                for event in 0..200 {
                    change(&*store, "stays", &format!("{round}.{event}")).await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        };
        let mut client = server.client();
        let before = client.stream(STREAM).len();
        until("it is in mid-write", || {
            client.stream(STREAM).len() >= before + 20
        })
        .await;
        server.kill();
        writer.await.unwrap();
        if round == 1 {
            end(&*store, "ends-meanwhile").await;
        }
        server.run();
        assert_eq!(
            copied(&server, &store).await,
            expected(&store).await,
            "{round}"
        );
    }
    shows(&server, &[("stays", "2.199")]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_is_killed_gets_what_it_missed_with_append_only() {
    killed_in_mid_write(AppendOnly::Yes).await;
}

#[tokio::test]
async fn a_server_that_is_killed_gets_what_it_missed_without_append_only() {
    killed_in_mid_write(AppendOnly::No).await;
}

#[tokio::test]
async fn keys_are_rebuilt_after_a_crash_although_nothing_happens() {
    let Some(mut server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "running").await;
    shows(&server, &[("a", "running")]).await;
    server.kill();
    // Also that of a row whose last event is too long ago for the log.
    store.apply(vec![Write::ForgetEvents(1)]).await.unwrap();
    server.run();
    shows(&server, &[("a", "running")]).await;
    let gap = ("1-0".into(), r#"{"gap":[1,1]}"#.into());
    assert_eq!(copied(&server, &store).await, [gap]);
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_an_older_state_is_brought_forward() {
    let Some(mut server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "ended-since", "running").await;
    change(&*store, "a", "queued").await;
    let mut wanted = copied(&server, &store).await;
    server.client().call(&["SAVE"]);
    end(&*store, "ended-since").await;
    change(&*store, "a", "running").await;
    copied(&server, &store).await;
    server.kill();
    // Nothing but the rebuild can know now that it ended.
    store.apply(vec![Write::ForgetEvents(4)]).await.unwrap();
    server.run();
    assert_eq!(server.client().stream(STREAM)[..2], wanted, "it is older");
    shows(&server, &[("a", "running")]).await;
    wanted.push(("4-0".into(), r#"{"gap":[3,4]}"#.into()));
    wanted.extend(expected(&store).await);
    assert_eq!(copied(&server, &store).await, wanted);
    running.stop().await;
}

#[tokio::test]
async fn an_emptied_server_is_filled_again_at_the_next_event_and_without_one() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "running").await;
    copied(&server, &store).await;
    server.client().call(&["FLUSHALL"]);
    change(&*store, "b", "running").await;
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    server.client().call(&["FLUSHALL"]);
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    shows(&server, &[("a", "running"), ("b", "running")]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_write_that_arrives_late_does_nothing() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "running").await;
    copied(&server, &store).await;
    let signal = |name: &str| {
        let kill = Command::new("kill")
            .args([name, &server.pid().to_string()])
            .status();
        assert!(kill.unwrap().success());
    };
    signal("-STOP");
    change(&*store, "a", "stopping").await;
    // Given up and sent anew, more than once: each lies in the server's sockets now.
    tokio::time::sleep(Duration::from_secs(5)).await;
    signal("-CONT");
    end(&*store, "a").await;
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    assert_eq!(live(&mut server.client()), []);
    running.stop().await;
}

#[tokio::test]
async fn a_script_from_another_position_is_refused_before_it_does_anything() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "running").await;
    change(&*store, "a", "stopping").await;
    let told = copied(&server, &store).await;
    running.stop().await;
    let mut client = server.client();
    let position = include_str!("../../src/valkey/position.lua");
    let append = position.to_owned() + include_str!("../../src/valkey/append.lua");
    let rebuild = position.to_owned() + include_str!("../../src/valkey/rebuild.lua");
    let reset = position.to_owned() + include_str!("../../src/valkey/reset.lua");
    let keys = ["2", STREAM, INDEX];
    let live_prefix = "mosaic:agent:";
    for (script, arguments) in [
        (
            &append,
            vec![
                "1-0",
                "9",
                "mosaic:events",
                live_prefix,
                "2-0",
                "late",
                "set",
                "a",
                "late",
            ],
        ),
        (
            &append,
            vec![
                "9-0",
                "9",
                "mosaic:events",
                live_prefix,
                "10-0",
                "early",
                "set",
                "b",
                "early",
            ],
        ),
        (&rebuild, vec!["1-0", live_prefix, "a", "late"]),
        (&reset, vec!["1-0"]),
    ] {
        let call: Vec<&str> = ["EVAL", script]
            .into_iter()
            .chain(keys)
            .chain(arguments)
            .collect();
        assert_eq!(client.call(&call), Reply::Number(0));
    }
    assert_eq!(client.stream(STREAM), told);
    assert_eq!(live(&mut client), [("a".into(), "stopping".into())]);
}

#[tokio::test]
async fn a_server_that_is_away_or_never_answers_does_not_hold_up_a_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and says nothing
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let store = Arc::new(MemoryStore::new());
        change(&*store, "a", "running").await;
        let running = Running::start(&store, &format!("redis://{address}"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let took = running.stop().await;
        assert!(took < Duration::from_secs(3), "{address}: {took:?}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_read_again() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    change(&*store, "a", "running").await;
    store.break_reads();
    let running = Running::start(&store, &server.url());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.client().stream(STREAM), []);
    store.mend();
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    running.stop().await;
}
