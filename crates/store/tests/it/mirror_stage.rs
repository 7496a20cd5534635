//! What the mirror's tests share: a store with rows and events, a server, and a look at both.

use mosaic_store::valkey::{Address, Credentials, Mirror, Told, View};
use mosaic_store::{Cause, MemoryStore, StateStore, Table, Write};
use mosaic_testkit::valkey::{Client, Server};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The name in the keys.
pub(crate) const STREAM: &str = "mosaic:events:here";
pub(crate) const INDEX: &str = "mosaic:agents:here";

/// Longer than the longest pause between two tries, several times.
const LONG: Duration = Duration::from_secs(30);

/// Events are `row kind`; a row is live unless it says `dead`.
#[derive(Debug)]
struct PlainView;

impl View for PlainView {
    fn event(&self, sequence: u64, event: &[u8]) -> Result<Told, Cause> {
        let text = std::str::from_utf8(event)?;
        let (row, kind) = text.split_once(' ').ok_or("not an event")?;
        Ok(Told {
            json: format!(r#"{{"sequence":{sequence},"event":"{text}"}}"#),
            row: row.to_owned(),
            is_end: kind == "end",
        })
    }

    fn gap(&self, first: u64, last: u64) -> String {
        format!(r#"{{"gap":[{first},{last}]}}"#)
    }

    fn live(&self, row: &[u8]) -> Result<Option<String>, Cause> {
        let text = std::str::from_utf8(row)?;
        Ok((text != "dead").then(|| text.to_owned()))
    }
}

/// Makes a row live, or changes it, and tells.
pub(crate) async fn change(store: &dyn StateStore, row: &str, value: &str) -> u64 {
    assert!(!row.contains(' '), "an event is `row kind`");
    let put = Write::Put(Table::Agents, row.to_owned(), value.as_bytes().to_vec());
    let event = Write::Append(format!("{row} {value}").into_bytes());
    store.apply(vec![put, event]).await.unwrap()[0]
}

/// Ends a row: it says so, and then that it was cleaned up, in one step as the spoke does.
pub(crate) async fn end(store: &dyn StateStore, row: &str) {
    let put = Write::Put(Table::Agents, row.to_owned(), b"dead".to_vec());
    let last = |kind: &str| Write::Append(format!("{row} {kind}").into_bytes());
    store
        .apply(vec![put, last("dead"), last("end")])
        .await
        .unwrap();
}

/// A running mirror.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(store: &Arc<MemoryStore>, url: &str) -> Self {
        Self::start_as(store, url, Credentials::default())
    }

    pub(crate) fn start_as(store: &Arc<MemoryStore>, url: &str, credentials: Credentials) -> Self {
        let mirror = Mirror {
            store: store.clone(),
            view: Arc::new(PlainView),
            name: "here".to_owned(),
            address: url.parse::<Address>().unwrap(),
            credentials,
            keep: 1_000_000,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(mirror.run(stop.clone()));
        Self { stop, task }
    }

    /// Stops it, and says how long that took.
    pub(crate) async fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stop.cancel();
        self.task.await.unwrap();
        begun.elapsed()
    }
}

/// What the stream must hold: every event of the store.
pub(crate) async fn expected(store: &MemoryStore) -> Vec<(String, String)> {
    let events = store.events(0, 1_000_000).await.unwrap().events;
    let told = events.iter().map(|(sequence, event)| {
        let entry = PlainView.event(*sequence, event).unwrap();
        (format!("{sequence}-0"), entry.json)
    });
    told.collect()
}

/// The live keys, rows with values, and that the index names just them.
pub(crate) fn live(client: &mut Client) -> Vec<(String, String)> {
    let keys = client.call(&["KEYS", "mosaic:agent:*"]).list();
    let mut live: Vec<_> = keys
        .iter()
        .map(|key| {
            let key = key.text();
            let value = client.call(&["GET", &key]).text();
            let row = key.strip_prefix("mosaic:agent:").unwrap();
            (row.to_owned(), value)
        })
        .collect();
    live.sort();
    let mut index: Vec<_> = client.call(&["SMEMBERS", INDEX]).list();
    index.sort_by_key(|row| row.text());
    let rows: Vec<_> = live.iter().map(|(row, _)| row.clone()).collect();
    assert_eq!(index.iter().map(|row| row.text()).collect::<Vec<_>>(), rows);
    live
}

/// Waits until the stream has an entry for the newest event, and returns the stream.
pub(crate) async fn copied(server: &Server, store: &MemoryStore) -> Vec<(String, String)> {
    let newest = format!("{}-0", *store.head().borrow());
    let mut client = server.client();
    let begun = Instant::now();
    loop {
        let last = client.call(&["XREVRANGE", STREAM, "+", "-", "COUNT", "1"]);
        // An error is a key of the wrong type.
        let is_there = match last {
            mosaic_testkit::valkey::Reply::List(entries) => entries
                .first()
                .is_some_and(|entry| entry.clone().list()[0].text() == newest),
            _ => false,
        };
        if is_there {
            return client.stream(STREAM);
        }
        assert!(begun.elapsed() < LONG, "{newest} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the live keys are these.
pub(crate) async fn shows(server: &Server, wanted: &[(&str, &str)]) {
    let mut client = server.client();
    let begun = Instant::now();
    loop {
        let shown = live(&mut client);
        let shown: Vec<_> = shown
            .iter()
            .map(|(row, value)| (row.as_str(), value.as_str()))
            .collect();
        if shown == wanted {
            return;
        }
        assert!(begun.elapsed() < LONG, "it shows {shown:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
