//! The mirror on a real server: what is there while all is well, and who is let in.

use crate::mirror_stage::{Running, STREAM, change, copied, end, expected, live, shows, until};
use mosaic_store::MemoryStore;
use mosaic_store::valkey::Credentials;
use mosaic_testkit::valkey::{AppendOnly, Reply, Server};
use std::sync::Arc;

#[tokio::test]
async fn events_of_before_and_after_the_start_are_there_once_and_in_order() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    // More than one call takes.
    for round in 0..300 {
        change(&*store, "a", &format!("before {round}")).await;
    }
    let running = Running::start(&store, &server.url());
    copied(&server, &store).await;
    let mut subscriber = server.client();
    subscriber.call(&["SUBSCRIBE", "mosaic:events"]);
    change(&*store, "b", "after").await;
    end(&*store, "a").await;
    let told = expected(&store).await;
    assert_eq!(told.len(), 303);
    assert_eq!(copied(&server, &store).await, told);
    for (_, json) in &told[300..] {
        assert_eq!(&subscriber.message(), json);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_row_has_a_key_from_its_first_event_to_its_end() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "queued").await;
    shows(&server, &[("a", "queued")]).await;
    change(&*store, "a", "running").await;
    change(&*store, "b", "queued").await;
    shows(&server, &[("a", "running"), ("b", "queued")]).await;
    end(&*store, "a").await;
    copied(&server, &store).await;
    assert_eq!(live(&mut server.client()), [("b".into(), "queued".into())]);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_waits_until_the_last_event_is_copied() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    let running = Running::start(&store, &server.url());
    change(&*store, "a", "queued").await;
    copied(&server, &store).await;
    for round in 0..1000 {
        change(&*store, "a", &round.to_string()).await;
    }
    end(&*store, "a").await;
    running.stop().await;
    let told = server.client().stream(STREAM);
    assert_eq!(told, expected(&store).await);
    assert_eq!(live(&mut server.client()), []);
}

#[tokio::test]
async fn a_next_life_goes_on_where_the_last_one_stopped() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    for row in ["a", "b"] {
        let running = Running::start(&store, &server.url());
        change(&*store, row, "queued").await;
        copied(&server, &store).await;
        running.stop().await;
        // What happens between two lives, and would leave a key for ever.
        end(&*store, row).await;
    }
    let running = Running::start(&store, &server.url());
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    assert_eq!(live(&mut server.client()), []);
    running.stop().await;
}

/// What docs/valkey.md says the mirror's user needs, and no more.
const RIGHTS: &str = "+ping +hello +auth +select +info +client|id +script|load +evalsha +exists \
    +xinfo|stream +xrevrange +xadd +set +del +sadd +srem +smembers +publish";

#[tokio::test]
async fn a_user_with_just_the_documented_rights_is_enough_and_a_password_can_be_put_right() {
    let Some(server) = Server::start(AppendOnly::No) else {
        return;
    };
    let mut admin = server.client();
    let mut user = vec![
        "ACL",
        "SETUSER",
        "mosaic",
        "on",
        ">right",
        "~mosaic:*",
        "&mosaic:events",
    ];
    user.extend(RIGHTS.split_whitespace());
    assert_eq!(admin.call(&user), Reply::Text("OK".into()));
    let file = server.folder().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let store = Arc::new(MemoryStore::new());
    change(&*store, "a", "queued").await;
    let credentials = Credentials {
        username: Some("mosaic".into()),
        password_file: Some(file.clone()),
    };
    let running = Running::start_as(&store, &server.url(), credentials);
    until("it is turned away", || {
        admin
            .call(&["INFO", "errorstats"])
            .text()
            .contains("WRONGPASS")
    })
    .await;
    assert_eq!(admin.stream(STREAM), []);
    std::fs::write(&file, "right\n").unwrap();
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    end(&*store, "a").await;
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    assert_eq!(live(&mut admin), []);
    running.stop().await;
}

#[tokio::test]
async fn a_unix_socket_does_as_well_and_a_connection_ends_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("valkey.sock");
    let path = socket.to_str().unwrap();
    let Some(server) = Server::start_with(AppendOnly::No, &["--unixsocket", path]) else {
        return;
    };
    let store = Arc::new(MemoryStore::new());
    change(&*store, "a", "queued").await;
    let running = Running::start(&store, &format!("redis+unix://{path}"));
    assert_eq!(copied(&server, &store).await, expected(&store).await);
    running.stop().await;
    let mut admin = server.client();
    until("the connection is closed", || {
        !admin
            .call(&["CLIENT", "LIST"])
            .text()
            .contains("valkey.sock")
    })
    .await;
}
