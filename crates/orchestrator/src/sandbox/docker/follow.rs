//! Follows containers' logs into the agents' output files: one task for each agent, from its
//! start, or from its being found again, to its end.

use super::engine::{Engine, Logged};
use super::seen::Phase;
use crate::folders::Folders;
use crate::output::{Kept, Stream, Writer};
use crate::sandbox::supervise::{Frame, Line};
use futures_util::StreamExt;
use mosaic_common::AgentId;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The first pause before the engine is asked again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Longest line of `init`'s, and longest complaint that is kept, in bytes.
const LINE_MAX: usize = 16 * 1024;
const COMPLAINT_MAX: usize = 4096;

/// How far a container's log was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// What its first process said first.
    pub(super) first: Option<Frame>,
    /// What it said last of the program's ending.
    pub(super) last: Option<Frame>,
    /// What was written that its first process did not say.
    pub(super) complaint: String,
    /// Whether the container has stopped, and nothing more will come.
    pub(super) ended: bool,
}

/// Who follows what.
#[derive(Debug)]
pub(super) struct Follower {
    engine: Engine,
    folders: Folders,
    followed: Mutex<HashMap<AgentId, Followed>>,
}

#[derive(Debug)]
struct Followed {
    progress: watch::Receiver<Progress>,
    task: tokio::task::AbortHandle,
}

impl Follower {
    pub(super) fn new(engine: Engine, folders: Folders) -> Self {
        Self {
            engine,
            folders,
            followed: Mutex::default(),
        }
    }

    /// Ensures that an agent's container is followed, keeping `max` bytes of output.
    pub(super) fn follow(
        &self,
        agent: &AgentId,
        container: &str,
        max: u64,
    ) -> watch::Receiver<Progress> {
        let mut followed = self.lock();
        if let Some(known) = followed.get(agent) {
            return known.progress.clone();
        }
        let (sender, progress) = watch::channel(Progress::default());
        let reading = Reading {
            engine: self.engine.clone(),
            container: container.to_owned(),
            output: self.folders.output(agent),
            max,
            progress: sender,
            writer: None,
            partial: Vec::new(),
        };
        let task = tokio::spawn(reading.until_the_end()).abort_handle();
        let entry = Followed {
            progress: progress.clone(),
            task,
        };
        followed.insert(agent.clone(), entry);
        progress
    }

    /// What was written that the first process did not say, such as a loader's complaint.
    pub(super) fn complaint(&self, agent: &AgentId) -> Option<String> {
        let followed = self.lock();
        let complaint = followed.get(agent)?.progress.borrow().complaint.clone();
        (!complaint.is_empty()).then_some(complaint)
    }

    /// Stops following an agent whose container is gone.
    pub(super) fn forget(&self, agent: &AgentId) {
        if let Some(followed) = self.lock().remove(agent) {
            followed.task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        for followed in self.lock().values() {
            followed.task.abort();
        }
    }
}

/// One agent's log being read.
struct Reading {
    engine: Engine,
    container: String,
    output: PathBuf,
    max: u64,
    progress: watch::Sender<Progress>,
    writer: Option<(Writer, Kept)>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
}

impl Reading {
    async fn until_the_end(mut self) {
        let mut pause = PAUSE.0;
        loop {
            let stopped = match self.engine.inspect(&self.container).await {
                Ok(None) => true,
                Ok(Some(seen)) => seen.phase == Phase::Exited,
                Err(_) => false, // the engine is away; its containers may not be
            };
            let told_all = self.progress.borrow().last.is_some();
            if stopped && told_all {
                break;
            }
            let read = self.read(!stopped).await;
            if stopped {
                break; // that was the whole log: nothing writes to it any more
            }
            if read.is_err() || self.progress.borrow().last.is_none() {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
        if let Some((writer, _)) = self.writer.take() {
            let closed = tokio::task::spawn_blocking(move || writer.close()).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::warn!(
                    container = self.container,
                    "the end of the output could not be written"
                );
            }
        }
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Reads the log from its beginning: what was kept before is left out by its place.
    async fn read(&mut self, follow: bool) -> io::Result<()> {
        self.partial.clear();
        let mut log = self.engine.log(&self.container, follow);
        while let Some(piece) = log.next().await {
            match piece? {
                Logged::Out(bytes) => self.hear(&bytes).await?,
                Logged::Err(bytes) => self.complain(&bytes),
            }
        }
        Ok(())
    }

    async fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.partial.len() + piece.len() > LINE_MAX {
                self.partial.clear(); // not ours, whatever it is
                continue;
            }
            self.partial.extend_from_slice(piece);
            if piece.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.partial);
                match Line::decode(&line) {
                    Some(line) => self.take(line).await?,
                    None => self.complain(&line),
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, Line { at, frame }: Line) -> io::Result<()> {
        match &frame {
            Frame::Stdout(data) => return self.keep(at, Stream::Stdout, data).await,
            Frame::Stderr(data) => return self.keep(at, Stream::Stderr, data).await,
            Frame::Runs => {}
            Frame::Failed(_)
            | Frame::Exited(_)
            | Frame::Signalled(_)
            | Frame::OutOfMemory
            | Frame::Untold => {
                let last = frame.clone();
                self.progress
                    .send_modify(|progress| progress.last = Some(last));
            }
        }
        self.progress.send_modify(|progress| {
            progress.first.get_or_insert(frame);
        });
        Ok(())
    }

    /// Appends what comes after what is kept.
    async fn keep(&mut self, at: u64, stream: Stream, data: &[u8]) -> io::Result<()> {
        let (writer, kept) = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let (path, max) = (self.output.clone(), self.max);
                let opened = tokio::task::spawn_blocking(move || Writer::resume(&path, max)).await;
                self.writer.insert(opened.map_err(io::Error::other)??)
            }
        };
        let end = at + data.len() as u64;
        if kept.complete || end <= kept.bytes {
            return Ok(());
        }
        if at > kept.bytes {
            writer.lose(stream, at - kept.bytes); // the engine's log was cut while nobody read it
        }
        let known = usize::try_from(kept.bytes.saturating_sub(at)).unwrap_or(0);
        kept.bytes = end;
        writer.append(stream, &data[known..])
    }

    fn complain(&self, bytes: &[u8]) {
        self.progress.send_modify(|progress| {
            if progress.complaint.len() < COMPLAINT_MAX {
                progress.complaint.push_str(&String::from_utf8_lossy(bytes));
            }
        });
    }
}

/// What a container's log says, shared with nobody: for containers that are no agent's.
pub(super) async fn first_line(engine: &Engine, container: &str) -> (Option<Frame>, String) {
    let (mut first, mut complaint) = (None, String::new());
    let mut log = engine.log(container, true);
    while let Some(Ok(piece)) = log.next().await {
        let (Logged::Out(bytes) | Logged::Err(bytes)) = piece;
        match Line::decode(&bytes) {
            Some(line) => drop(first.get_or_insert(line.frame)),
            None => complaint.push_str(&String::from_utf8_lossy(&bytes)),
        }
    }
    (first, complaint)
}
