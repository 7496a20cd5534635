//! Streams events from a cursor on.

use super::streams::{AHEAD, Answers};
use super::{Caller, Requests};
use crate::journal::unavailable;
use crate::lifecycle::Agents;
use mosaic_common::agent::wire::{parse_agent_id, wire_event};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Events read at once.
const PAGE: usize = 256;

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
