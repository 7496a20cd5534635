//! Streams what an agent left.

use super::streams::{AHEAD, Answers};
use super::{Caller, Requests};
use crate::worktrees::{self, Detail, ResultItem};
use mosaic_common::agent::wire::{parse_agent_id, rescue_ref};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Reason, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

impl Requests {
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
        let detail = match request.format() {
            pb::ResultFormat::Unspecified | pb::ResultFormat::Summary => Detail::Summary,
            pb::ResultFormat::Patch => Detail::Patch,
            pb::ResultFormat::Bundle => Detail::Bundle,
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let agents = self.agents().clone();
        tokio::spawn(async move {
            let (items, to) = mpsc::channel(AHEAD);
            let worktrees = agents.deps().worktrees.clone();
            let read = worktrees.result(record.id(), &repository, detail, items);
            let ((), read) = tokio::join!(forward(to, &sender, record.id()), read);
            if let Err(error) = read {
                drop(sender.send(Err(not_read(&error))).await);
            }
        });
        Ok(ReceiverStream::new(receiver))
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
            ResultItem::Bundle(bundle) => Item::Bundle(bundle),
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
