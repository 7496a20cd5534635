//! Reads along what an agent's program writes, where its kind is understood: whether it has begun,
//! what it has used, and in the end what its end means.
//!
//! It reads the output file, which outlives the spoke, from its beginning: an agent that is taken
//! up again is judged as if the spoke had never been away.

use crate::output::{Lines, More, Piece};
use crate::profile::claude::Session;
use crate::sandbox::Ending;
use mosaic_common::agent::{Cause, Limits, Usage};
use mosaic_common::in_full;
use std::path::PathBuf;

/// Reads along what one program writes.
#[derive(Debug)]
pub(super) struct Witness {
    file: PathBuf,
    /// `None` only while a thread reads, or after one that was lost.
    read: Option<Read>,
}

#[derive(Debug, Default)]
struct Read {
    lines: Lines,
    session: Session,
}

impl Witness {
    /// Of the program that writes to this file.
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            read: Some(Read::default()),
        }
    }

    /// Reads what is there by now. Not to be dropped halfway if it shall be used again.
    pub(super) async fn catch_up(&mut self) {
        let (mut read, file) = (self.read.take().unwrap_or_default(), self.file.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let (lines, session) = (&mut read.lines, &mut read.session);
            loop {
                match lines.read(&file, |piece| take(session, piece)) {
                    Ok(More::Maybe) => {}
                    Ok(More::No) => return read,
                    Err(error) => {
                        tracing::warn!(error = %in_full(&error), "output could not be read");
                        session.on_loss();
                        return read;
                    }
                }
            }
        });
        self.read = reading.await.ok();
    }

    /// Whether the program has begun with its task.
    pub(super) fn has_begun(&self) -> bool {
        self.read
            .as_ref()
            .is_some_and(|read| read.session.has_begun())
    }

    /// What the program has used so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.read.as_ref().and_then(|read| read.session.usage())
    }

    /// What the end of the program means, once everything has been read.
    pub(super) fn verdict(mut self, ending: Ending, limits: &Limits) -> Cause {
        let mut read = self.read.take().unwrap_or_default();
        let session = &mut read.session;
        read.lines.finish(|piece| take(session, piece));
        read.session.verdict(ending, limits)
    }
}

fn take(session: &mut Session, piece: Piece<'_>) {
    match piece {
        Piece::Line(line) => session.on_line(line),
        Piece::Lost => session.on_loss(),
    }
}
