//! The one thread that writes.

use super::{read, schema};
use crate::{Error, Table, Write};
use rusqlite::{Connection, OptionalExtension, params};
use std::thread::{Builder, JoinHandle};
use tokio::sync::{mpsc, oneshot, watch};

/// Batches that may wait; the next writer waits for room.
const WAITING: usize = 1024;

/// Batches in one transaction: where the fsync is no longer what costs.
const TOGETHER: usize = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<Vec<u64>, Error>;

struct Job {
    batch: Vec<Write>,
    answer: oneshot::Sender<Answer>,
}

/// The way to the writing thread. Dropping it waits until everything accepted is on disk.
#[derive(Debug)]
pub(super) struct Committer {
    jobs: Option<mpsc::Sender<Job>>,
    head: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(connection: Connection) -> Result<Self, Failure> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let (sender, head) = watch::channel(read::head(&connection)?);
        let thread = Builder::new()
            .name("store".into())
            .spawn(move || run(connection, waiting, &sender))?;
        Ok(Self {
            jobs: Some(jobs),
            head,
            thread: Some(thread),
        })
    }

    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    pub(super) async fn commit(&self, batch: Vec<Write>) -> Answer {
        let gone = || Error::Write("the store has stopped".into());
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { batch, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None; // the thread ends when it has written what waits
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(mut connection: Connection, mut waiting: mpsc::Receiver<Job>, head: &watch::Sender<u64>) {
    let mut jobs = Vec::with_capacity(TOGETHER);
    while waiting.blocking_recv_many(&mut jobs, TOGETHER) > 0 {
        let (batches, answers): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.batch, job.answer)).unzip();
        match write_together(&mut connection, batches) {
            Ok((results, newest)) => {
                head.send_if_modified(|head| std::mem::replace(head, newest) != newest);
                for (answer, result) in answers.into_iter().zip(results) {
                    drop(answer.send(result)); // a writer that went away needs no answer
                }
            }
            Err(error) => {
                let why = error.to_string();
                tracing::error!(error = %why, "the store could not be written");
                for answer in answers {
                    drop(answer.send(Err(Error::Write(why.clone().into()))));
                }
            }
        }
    }
    // Leaves one file behind, where a crash leaves three.
    drop(connection.pragma_update(None, "wal_checkpoint", "TRUNCATE"));
}

/// Writes batches in one transaction, each in a savepoint of its own: one that is refused takes
/// back its own writes only. Nothing is answered unless all of it is on disk.
fn write_together(
    connection: &mut Connection,
    batches: Vec<Vec<Write>>,
) -> rusqlite::Result<(Vec<Answer>, u64)> {
    let mut all = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        let mut own = all.savepoint()?;
        let mut sequences = Vec::new();
        let mut result = Ok(());
        for write in batch {
            result = apply(&own, write, &mut sequences);
            if result.is_err() {
                break;
            }
        }
        match result {
            Ok(()) => {
                own.commit()?;
                results.push(Ok(sequences));
            }
            Err(Refused::Exists { key, value }) => {
                own.rollback()?;
                own.commit()?;
                results.push(Err(Error::Exists { key, value }));
            }
            Err(Refused::Failed(error)) => return Err(error),
        }
    }
    let newest = read::head(&all)?;
    all.commit()?;
    Ok((results, newest))
}

enum Refused {
    Exists { key: String, value: Vec<u8> },
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn apply(connection: &Connection, write: Write, sequences: &mut Vec<u64>) -> Result<(), Refused> {
    match write {
        Write::Put(table, key, value) => put(connection, table, &key, &value)?,
        Write::Create(table, key, value) => {
            if let Some(value) = there(connection, table, &key)? {
                return Err(Refused::Exists { key, value });
            }
            put(connection, table, &key, &value)?;
        }
        Write::Delete(table, key) => {
            let mut delete =
                connection.prepare_cached("DELETE FROM rows WHERE tab = ?1 AND key = ?2")?;
            delete.execute(params![schema::number(table), key])?;
        }
        Write::Append(value) => {
            let sequence = next(connection, "event")?;
            let mut insert = connection.prepare_cached("INSERT INTO events VALUES (?1, ?2)")?;
            insert.execute(params![sequence, value])?;
            sequences.push(u64::try_from(sequence).unwrap_or_default());
        }
        Write::ForgetEvents(last) => {
            let mut delete =
                connection.prepare_cached("DELETE FROM events WHERE sequence <= ?1")?;
            delete.execute(params![read::to_sql(last)])?;
        }
    }
    Ok(())
}

fn there(connection: &Connection, table: Table, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select =
        connection.prepare_cached("SELECT value FROM rows WHERE tab = ?1 AND key = ?2")?;
    select
        .query_row(params![schema::number(table), key], |row| row.get(0))
        .optional()
}

fn put(connection: &Connection, table: Table, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("UPDATE rows SET value = ?3 WHERE tab = ?1 AND key = ?2")?;
    if update.execute(params![schema::number(table), key, value])? == 0 {
        let number = next(connection, "row")?;
        let mut insert = connection.prepare_cached("INSERT INTO rows VALUES (?1, ?2, ?3, ?4)")?;
        insert.execute(params![schema::number(table), key, number, value])?;
    }
    Ok(())
}

/// The next number of a counter, never given before.
fn next(connection: &Connection, counter: &str) -> rusqlite::Result<i64> {
    let mut update = connection
        .prepare_cached("UPDATE counters SET value = value + 1 WHERE name = ?1 RETURNING value")?;
    update.query_row(params![counter], |row| row.get(0))
}
