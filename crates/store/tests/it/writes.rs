//! Short ways to spell writes and to read back, for every test here.

use mosaic_store::{StateStore, Table, Write};

pub(crate) fn put(key: &str, value: &str) -> Write {
    Write::Put(Table::Agents, key.into(), value.into())
}

pub(crate) fn create(key: &str, value: &str) -> Write {
    Write::Create(Table::Agents, key.into(), value.into())
}

pub(crate) fn delete(key: &str) -> Write {
    Write::Delete(Table::Agents, key.into())
}

pub(crate) fn append(value: &str) -> Write {
    Write::Append(value.into())
}

/// The keys and values of the agents, newest first.
pub(crate) async fn rows(store: &dyn StateStore) -> Vec<(String, String)> {
    let rows = store.scan(Table::Agents, None, 1_000).await.unwrap();
    rows.into_iter()
        .map(|row| (row.key, String::from_utf8(row.value).unwrap()))
        .collect()
}

/// The numbers of the agents, newest first.
pub(crate) async fn numbers(store: &dyn StateStore) -> Vec<u64> {
    let rows = store.scan(Table::Agents, None, 1_000).await.unwrap();
    rows.iter().map(|row| row.number).collect()
}

/// The sequences of the kept events, oldest first.
pub(crate) async fn sequences(store: &dyn StateStore) -> Vec<u64> {
    let kept = store.events(0, 1_000_000).await.unwrap();
    kept.events.iter().map(|(sequence, _)| *sequence).collect()
}
