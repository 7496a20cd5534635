//! What a spoke does for each request that is answered by a stream.

use super::{Caller, Requests};
use crate::journal::unavailable;
use crate::lifecycle::Agents;
use crate::output;
use crate::worktrees::{self, Patch, ResultItem};
use mosaic_common::agent::AgentRecord;
use mosaic_common::agent::wire::{parse_agent_id, rescue_ref, wire_event};
use mosaic_common::proto::CHUNK;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Reason, Refusal};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A stream of one kind of answer. It ends with a refusal, if with an error at all.
pub(super) type Answers<T> = ReceiverStream<Result<T, Refusal>>;

/// Answers that wait for a slow reader: at the largest chunk, half a megabyte a stream.
const AHEAD: usize = 16;

/// Events read at once.
const PAGE: usize = 256;

/// How often a followed output file is looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Requests {
    pub(super) async fn watch(
        &self,
        caller: &Caller,
        request: pb::WatchRequest,
    ) -> Result<Answers<pb::WatchResponse>, Refusal> {
        self.check_site(&request.site)?;
        let only = if request.agent_id.is_empty() {
            None
        } else {
            Some(parse_agent_id(&request.agent_id)?)
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let watch = Watch {
            agents: self.agents().clone(),
            caller: caller.clone(),
            only,
            sender,
        };
        tokio::spawn(watch.run(request.after, request.no_follow));
        Ok(ReceiverStream::new(receiver))
    }

    pub(super) async fn logs(
        &self,
        caller: &Caller,
        request: pb::LogsRequest,
    ) -> Result<Answers<pb::LogsResponse>, Refusal> {
        self.check_site(&request.site)?;
        let record = self
            .visible(caller, &parse_agent_id(&request.agent_id)?)
            .await?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let agents = self.agents().clone();
        tokio::spawn(async move {
            if let Err(refusal) = send_logs(&agents, &record, &request, &sender).await {
                drop(sender.send(Err(refusal)).await);
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    pub(super) async fn result(
        &self,
        caller: &Caller,
        request: pb::ResultRequest,
    ) -> Result<Answers<pb::ResultResponse>, Refusal> {
        self.check_site(&request.site)?;
        let record = self
            .visible(caller, &parse_agent_id(&request.agent_id)?)
            .await?;
        if !record.state.is_final() {
            return Err(Refusal::new(
                Reason::ResultNotReady,
                format!("the agent is {}", record.state.as_str()),
            ));
        }
        let missing = |what: &str| Refusal::new(Reason::ResultMissing, what);
        let repository = record
            .spec
            .repository
            .clone()
            .ok_or_else(|| missing("the agent had no repository"))?;
        let rescued = record
            .cleanup
            .as_ref()
            .and_then(|report| report.rescue_commit.as_ref());
        if rescued.is_none() {
            return Err(missing(
                "nothing of the agent is rescued; its cleanup report says why",
            ));
        }
        let patch = match request.format() {
            pb::ResultFormat::Unspecified | pb::ResultFormat::Summary => Patch::Omit,
            pb::ResultFormat::Patch => Patch::Include,
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let agents = self.agents().clone();
        tokio::spawn(async move {
            let (items, to) = mpsc::channel(AHEAD);
            let worktrees = agents.deps().worktrees.clone();
            let read = worktrees.result(record.id(), &repository, patch, items);
            let ((), read) = tokio::join!(forward(to, &sender, record.id()), read);
            if let Err(error) = read {
                drop(sender.send(Err(not_read(&error))).await);
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

struct Watch {
    agents: Agents,
    caller: Caller,
    only: Option<AgentId>,
    sender: mpsc::Sender<Result<pb::WatchResponse, Refusal>>,
}

impl Watch {
    /// Sends events after `after` as they become durable, until the reader is gone.
    async fn run(self, mut after: u64, no_follow: bool) {
        let mut head = self.agents.deps().journal.head();
        loop {
            let seen = *head.borrow_and_update();
            match self.send_after(after).await {
                Ok(Some(sent)) if sent > after => after = sent,
                Ok(Some(_)) if no_follow => return,
                Ok(Some(_)) if *head.borrow() > seen => {}
                Ok(Some(_)) => {
                    tokio::select! {
                        changed = head.changed() => if changed.is_err() { return },
                        () = self.sender.closed() => return,
                    }
                }
                Ok(None) => return,
                Err(refusal) => return drop(self.sender.send(Err(refusal)).await),
            }
        }
    }

    /// Sends a page of events. Returns the last sequence looked at; `None` if the reader is gone.
    async fn send_after(&self, after: u64) -> Result<Option<u64>, Refusal> {
        let journal = &self.agents.deps().journal;
        let (first_kept, events) = journal
            .events(after, PAGE)
            .await
            .map_err(|e| unavailable(&e))?;
        let mut seen = after;
        if first_kept > after + 1 {
            let gap = pb::Gap {
                first: after + 1,
                last: first_kept - 1,
            };
            if !self.send(pb::watch_response::Item::Gap(gap)).await {
                return Ok(None);
            }
            seen = first_kept - 1;
        }
        for (sequence, event) in events {
            seen = sequence;
            let wanted = self
                .only
                .as_ref()
                .is_none_or(|agent| *agent == event.agent_id);
            if !wanted || !self.may_see(&event.agent_id).await? {
                continue;
            }
            let event = wire_event(&event, sequence, journal.site().as_str());
            if !self.send(pb::watch_response::Item::Event(event)).await {
                return Ok(None);
            }
        }
        Ok(Some(seen))
    }

    async fn may_see(&self, agent: &AgentId) -> Result<bool, Refusal> {
        if self.caller.connection().is_none() {
            return Ok(true);
        }
        let record = self.agents.get(agent).await?;
        Ok(record.is_some_and(|record| self.caller.sees(&record)))
    }

    async fn send(&self, item: pb::watch_response::Item) -> bool {
        self.sender
            .send(Ok(pb::WatchResponse { item: Some(item) }))
            .await
            .is_ok()
    }
}

/// Sends output from a cursor on; when following, until the agent has ended and all is sent.
async fn send_logs(
    agents: &Agents,
    record: &AgentRecord,
    request: &pb::LogsRequest,
    sender: &mpsc::Sender<Result<pb::LogsResponse, Refusal>>,
) -> Result<(), Refusal> {
    let file = agents.deps().spawner.output_file(&record.spec);
    let mut cursor = request.cursor;
    loop {
        let alive = agents
            .watch(record.id())
            .is_some_and(|record| !record.borrow().state.is_final());
        let chunks = read_output(file.clone(), cursor).await?;
        let nothing = chunks.is_empty();
        for chunk in chunks {
            cursor = chunk.next;
            if sender.send(Ok(logged(chunk))).await.is_err() {
                return Ok(());
            }
        }
        if nothing && (!alive || !request.follow) {
            return Ok(());
        }
        if nothing {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = sender.closed() => return Ok(()),
            }
        }
    }
}

/// Reads output off the async threads.
async fn read_output(file: PathBuf, cursor: u64) -> Result<Vec<output::Chunk>, Refusal> {
    let read = tokio::task::spawn_blocking(move || output::read(&file, cursor, CHUNK)).await;
    match read {
        Ok(chunks) => chunks.map_err(|error| bad_cursor(&error)),
        Err(_) => Err(Refusal::new(Reason::Internal, "the output cannot be read")),
    }
}

fn logged(chunk: output::Chunk) -> pb::LogsResponse {
    let stream = match chunk.stream {
        output::Stream::Stdout => pb::OutputStream::Stdout,
        output::Stream::Stderr => pb::OutputStream::Stderr,
    };
    pb::LogsResponse {
        stream: stream.into(),
        data: chunk.data,
        next_cursor: chunk.next,
        dropped_bytes: chunk.dropped,
    }
}

fn bad_cursor(error: &output::Error) -> Refusal {
    match error {
        output::Error::Cursor(_) => Refusal::invalid("cursor", error),
        output::Error::Format | output::Error::Read(_) => {
            tracing::error!(error = %mosaic_common::in_full(error), "output cannot be read");
            Refusal::new(
                Reason::Internal,
                "the output cannot be read; the spoke's log says why",
            )
        }
    }
}

async fn forward(
    mut items: mpsc::Receiver<ResultItem>,
    sender: &mpsc::Sender<Result<pb::ResultResponse, Refusal>>,
    agent: &AgentId,
) {
    use pb::result_response::Item;
    while let Some(item) = items.recv().await {
        let item = match item {
            ResultItem::Summary(summary) => Item::Summary(pb::ResultSummary {
                base_commit: summary.base_commit,
                rescue_commit: summary.rescue_commit,
                rescue_ref: rescue_ref(agent),
                files_changed: summary.files_changed,
                insertions: summary.insertions,
                deletions: summary.deletions,
                commits: summary.commits,
            }),
            ResultItem::Commit(worktrees::Commit {
                id,
                subject,
                author,
                rescue,
            }) => Item::Commit(pb::Commit {
                id,
                subject,
                author,
                rescue,
            }),
            ResultItem::Patch(patch) => Item::Patch(patch),
        };
        if sender
            .send(Ok(pb::ResultResponse { item: Some(item) }))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn not_read(error: &worktrees::Error) -> Refusal {
    tracing::error!(error = %mosaic_common::in_full(error), "result cannot be read");
    match error {
        worktrees::Error::NoRescue(_) => Refusal::new(Reason::ResultMissing, error.to_string()),
        _ => Refusal::new(
            Reason::Internal,
            "the result cannot be read; the spoke's log says why",
        ),
    }
}
