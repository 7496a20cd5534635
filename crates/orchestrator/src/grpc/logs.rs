//! Streams an agent's output from a cursor on.

use super::streams::{AHEAD, Answers};
use super::{Caller, Requests};
use crate::lifecycle::Agents;
use crate::output;
use mosaic_common::agent::AgentRecord;
use mosaic_common::agent::wire::parse_agent_id;
use mosaic_common::proto::CHUNK;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{Reason, Refusal};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How often a followed output file is looked at.
const LOOK: Duration = Duration::from_millis(200);

impl Requests {
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
