//! The life of one connection: is it the same history, are the live keys right, what is missing;
//! then each event as it comes.

use super::connection::{Connection, Failed};
use super::entry::{Change, Entry, Written};
use super::keys::Keys;
use super::{Mirror, Outage, Told};
use crate::{Error, Events, Table};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Events copied by one call: few enough that the server is not held up, many enough that a day's
/// events are copied in seconds.
const BATCH: usize = 128;

/// Rows read at once for the live keys.
const PAGE: usize = 500;

/// How often a silent connection is looked at: a server that was emptied, or that the network
/// lost, is noticed within this time although nothing happens.
const EVERY: Duration = Duration::from_secs(5);

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The server failed.
    #[error(transparent)]
    Server(#[from] Failed),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// The connection was closed.
    #[error("the connection was closed")]
    Closed,
    /// The stream is not where it was left: the server lost something, or somebody else writes.
    #[error("the stream is not where it was left")]
    Moved,
}

/// One connection's life.
pub(super) struct Session<'a> {
    mirror: &'a Mirror,
    stop: &'a CancellationToken,
    outage: &'a mut Outage,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        mirror: &'a Mirror,
        stop: &'a CancellationToken,
        outage: &'a mut Outage,
    ) -> Self {
        Self {
            mirror,
            stop,
            outage,
        }
    }

    /// Copies until the mirror is stopped and everything is copied.
    pub(super) async fn run(self) -> Result<(), Fault> {
        let Mirror {
            store,
            name,
            address,
            credentials,
            ..
        } = self.mirror;
        // Taken before anything is read, so that no event is missed between a look and a wait.
        let mut head = store.head();
        let mut server = Connection::open(address, credentials, Keys::of(name)).await?;
        let mut position = self.find_position(&server).await?;
        let live = self.live().await?;
        done(server.rebuild(position, live).await?)?;
        loop {
            head.mark_unchanged();
            let entries = self.missing(position).await?;
            if let Some(last) = entries.last() {
                done(server.append(position, self.mirror.keep, &entries).await?)?;
                position = last.sequence;
                continue;
            }
            self.outage.ended();
            tokio::select! {
                biased; // an event that is there already comes before a stop
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                () = self.stop.cancelled() => return Ok(()),
                () = server.lost() => return Err(Fault::Closed),
                () = tokio::time::sleep(EVERY) => {
                    if sequence(&server.look().await?.id) != Some(position) {
                        return Err(Fault::Moved);
                    }
                }
            }
        }
    }

    /// How far the stream is. One that tells another history than the store is removed first.
    async fn find_position(&self, server: &Connection) -> Result<u64, Fault> {
        let look = server.look().await?;
        if let Some(position) = sequence(&look.id)
            && self.is_ours(position, &look.last).await?
        {
            return Ok(position);
        }
        tracing::warn!(
            position = %look.id,
            "the stream in Valkey is not of this store; it is written anew"
        );
        done(server.reset(&look.id).await?)?;
        Ok(0)
    }

    /// Whether a stream at `position` that ends with `last` tells what the store tells. Where
    /// the store has forgotten what was there, it is believed.
    async fn is_ours(&self, position: u64, last: &str) -> Result<bool, Fault> {
        if position == 0 {
            return Ok(true);
        }
        let Mirror { store, view, .. } = self.mirror;
        let Events { first_kept, events } = store.events(position - 1, 1).await?;
        let Some((_, event)) = events.iter().find(|(sequence, _)| *sequence == position) else {
            return Ok(position < first_kept); // else it is ahead of us
        };
        let ours = match view.event(position, event) {
            Ok(told) => told.json,
            Err(_) => view.gap(position, position),
        };
        Ok(last.is_empty() || last == ours)
    }

    /// The rows that are live, ids with values.
    async fn live(&self) -> Result<Vec<(String, String)>, Fault> {
        let Mirror { store, view, .. } = self.mirror;
        let (mut before, mut live) = (None, Vec::new());
        loop {
            let page = store.scan(Table::Agents, before, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(live);
            };
            before = Some(last.number);
            for row in page {
                if let Ok(Some(json)) = view.live(&row.value) {
                    live.push((row.key, json));
                }
            }
        }
    }

    /// The next entries after `position`, with what the log has forgotten told as a gap.
    async fn missing(&self, position: u64) -> Result<Vec<Entry>, Fault> {
        let Mirror { store, view, .. } = self.mirror;
        let Events { first_kept, events } = store.events(position, BATCH).await?;
        let mut entries = Vec::with_capacity(events.len() + 1);
        let first = events.first().map_or(first_kept, |(sequence, _)| *sequence);
        if first > position + 1 {
            entries.push(self.gap(position + 1, first - 1));
        }
        for (sequence, event) in events {
            entries.push(match view.event(sequence, &event) {
                Ok(Told { json, row, is_end }) => Entry {
                    sequence,
                    json,
                    change: self.change(row, is_end).await?,
                },
                Err(error) => {
                    tracing::warn!(sequence, %error, "an event cannot be read; a gap is told");
                    self.gap(sequence, sequence)
                }
            });
        }
        Ok(entries)
    }

    fn gap(&self, first: u64, last: u64) -> Entry {
        Entry {
            sequence: last,
            json: self.mirror.view.gap(first, last),
            change: Change::Keep,
        }
    }

    /// What becomes of a row's key. Its value is the newest there is, never older than the event.
    /// A row that is live no longer keeps its key until its end is told.
    async fn change(&self, row: String, is_end: bool) -> Result<Change, Fault> {
        let Mirror { store, view, .. } = self.mirror;
        let value = store.get(Table::Agents, &row).await?;
        let live = value.map_or(Ok(None), |value| view.live(&value));
        Ok(match live {
            Ok(Some(json)) => Change::Set { row, json },
            Ok(None) if is_end => Change::Clear { row },
            Ok(None) | Err(_) => Change::Keep,
        })
    }
}

fn done(written: Written) -> Result<(), Fault> {
    match written {
        Written::Done => Ok(()),
        Written::Refused => Err(Fault::Moved),
    }
}

/// The sequence of an id that we gave; `None` for one that we did not.
fn sequence(id: &str) -> Option<u64> {
    id.strip_suffix("-0")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_ids_are_positions() {
        let table = [
            ("0-0", Some(0)),
            ("17-0", Some(17)),
            ("17-1", None),
            ("1732330000000-12", None),
            ("", None),
        ];
        for (text, position) in table {
            assert_eq!(sequence(text), position, "{text}");
        }
    }
}
