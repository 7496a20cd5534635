//! The one writer: a thread that gathers batches and commits many of them with one sync.
//!
//! A batch is answered only after the commit that holds it. A batch that is refused takes
//! no other with it; a commit that fails fails every batch in it.

use super::file::Failure;
use super::{query, write};
use crate::{Error, Write};
use rusqlite::{Connection, TransactionBehavior};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot, watch};

/// How many batches share one sync at most.
///
/// A sync takes milliseconds and a batch tens of microseconds: more would only make the
/// first of them wait longer for its answer.
const GROUP: usize = 256;

/// How many batches may wait before a writer has to: the next group, while one is synced.
const QUEUE: usize = GROUP;

type Outcome = Result<Vec<u64>, Error>;

/// A batch, and whom to answer.
struct Job {
    batch: Vec<Write>,
    reply: oneshot::Sender<Outcome>,
}

/// The committer has stopped, which it does only when it panics.
#[derive(Debug, thiserror::Error)]
#[error("the committer has stopped")]
struct Stopped;

/// The writing end of a store. Dropping it waits until everything sent is committed.
#[derive(Debug)]
pub(super) struct Committer {
    // `Some` until dropped: closing the channel is what ends the thread.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    head: watch::Receiver<u64>,
}

impl Committer {
    pub(super) fn start(connection: Connection) -> Result<Self, Failure> {
        let (announce, head) = watch::channel(query::head(&connection)?);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(connection, queue, &announce))
            .map_err(Failure::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            head,
        })
    }

    /// Sends a batch and waits for its commit. If the caller goes away, it is still written.
    pub(super) async fn apply(&self, batch: Vec<Write>) -> Outcome {
        let stopped = || Error::Write(Box::new(Stopped));
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        let sent = jobs.send(Job { batch, reply }).await;
        sent.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) fn head(&self) -> watch::Receiver<u64> {
        let mut head = self.head.clone();
        // A clone would take what came before it for news.
        head.mark_unchanged();
        head
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It fails only if the thread panicked, and then its writers were told.
            let _ = thread.join();
        }
    }
}

fn run(mut connection: Connection, mut queue: mpsc::Receiver<Job>, head: &watch::Sender<u64>) {
    while let Some(first) = queue.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = queue.try_recv()
        {
            group.push(next);
        }
        commit(&mut connection, group, head);
    }
    // Folds the log into the file. If a reader of another process is in the way, the log
    // stays, and holds what it holds: nothing is lost by not waiting.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

fn commit(connection: &mut Connection, group: Vec<Job>, head: &watch::Sender<u64>) {
    let (batches, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|job| (job.batch, job.reply)).unzip();
    let outcomes = match write_all(connection, batches) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let error = Arc::new(error);
            let failed = || Err(Error::Write(Box::new(Arc::clone(&error))));
            replies.iter().map(|_| failed()).collect()
        }
    };
    // Before the answers: who has one must find the head at or past its own events. Once
    // for the whole group: a bulk of events wakes every watcher once.
    if let Some(newest) = outcomes.iter().flatten().flatten().max() {
        head.send_replace(*newest);
    }
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // Who sent it may have gone away.
        let _ = reply.send(outcome);
    }
}

/// Writes the batches in one transaction, each behind its own savepoint.
fn write_all(
    connection: &mut Connection,
    batches: Vec<Vec<Write>>,
) -> rusqlite::Result<Vec<Outcome>> {
    let mut group = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let savepoint = group.savepoint()?;
        let outcome = write::batch(&savepoint, batch);
        // A full disk can end the whole transaction: then both fail, and so does the group.
        match &outcome {
            Ok(_) => savepoint.commit()?,
            Err(_) => savepoint.finish()?,
        }
        outcomes.push(outcome);
    }
    group.commit()?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use crate::Table;

    fn open(folder: &std::path::Path) -> Connection {
        file::open(folder).unwrap().0
    }

    fn event(value: &str) -> Vec<Write> {
        vec![Write::Append(value.into())]
    }

    /// Commits the batches as one group. Returns what each was answered.
    fn group(
        connection: &mut Connection,
        head: &watch::Sender<u64>,
        batches: Vec<Vec<Write>>,
    ) -> Vec<Outcome> {
        let (jobs, answers): (Vec<_>, Vec<_>) = batches
            .into_iter()
            .map(|batch| {
                let (reply, answer) = oneshot::channel();
                (Job { batch, reply }, answer)
            })
            .unzip();
        commit(connection, jobs, head);
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.blocking_recv().unwrap())
            .collect()
    }

    #[test]
    fn a_conflict_takes_no_other_batch_of_its_group_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(folder.path());
        let head = watch::Sender::new(0);
        let claim = || Write::Create(Table::Claims, "c".into(), b"mine".to_vec());
        let refused = vec![Write::Append(b"lost".to_vec()), claim()];
        let batches = vec![event("a"), vec![claim()], refused, event("b")];
        let outcomes = group(&mut connection, &head, batches);
        assert!(matches!(&outcomes[2], Err(Error::Exists { value, .. }) if value == b"mine"));
        assert_eq!(outcomes[0].as_ref().unwrap(), &[1]);
        assert_eq!(outcomes[3].as_ref().unwrap(), &[2]);
        assert_eq!(*head.borrow(), 2);
    }

    #[test]
    fn a_commit_that_fails_fails_every_batch_and_moves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(folder.path());
        // A deferred constraint is checked by the commit alone, as a full disk would be.
        connection
            .execute_batch(
                "CREATE TABLE broken (x REFERENCES rows (number) DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER bad AFTER INSERT ON events WHEN NEW.value = x'626164'
                 BEGIN INSERT INTO broken VALUES (99); END;",
            )
            .unwrap();
        let head = watch::Sender::new(0);
        let outcomes = group(&mut connection, &head, vec![event("a"), event("bad")]);
        let failed = |outcome: &Outcome| matches!(outcome, Err(Error::Write(_)));
        assert!(outcomes.iter().all(failed), "{outcomes:?}");
        assert_eq!(*head.borrow(), 0);
        assert_eq!(query::events(&connection, 0, 9).unwrap().events, []);

        let outcomes = group(&mut connection, &head, vec![event("b")]);
        assert_eq!(outcomes[0].as_ref().unwrap(), &[1]);
    }

    #[test]
    fn a_batch_that_does_not_fit_is_not_written_and_the_next_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(folder.path());
        connection
            .pragma_update_and_check(None, "max_page_count", 40, |_| Ok(()))
            .unwrap();
        let head = watch::Sender::new(0);
        let large = event(&"x".repeat(1 << 20));
        let outcomes = group(&mut connection, &head, vec![large]);
        assert!(matches!(outcomes[0], Err(Error::Write(_))), "{outcomes:?}");
        let outcomes = group(&mut connection, &head, vec![event("b")]);
        assert_eq!(outcomes[0].as_ref().unwrap(), &[1]);
    }
}
