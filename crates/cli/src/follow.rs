//! Reads a stream on across broken connections. Whoever opens it keeps the cursor.

use crate::{failure::Failure, retry::Patience};
use mosaic_common::{Reason, Refusal, agent::wire::parse_state, proto::agent::v1 as pb};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::client::{Client, quick};

/// A stream that lived this long was a good one, even if it had nothing to say.
///
/// Longer than all waits in a row, so that a server that cuts every stream is given up.
const GOOD_LIFE: Duration = Duration::from_secs(60);

/// A stream that is opened again when it breaks.
#[derive(Debug)]
pub(crate) struct Follow<M> {
    open: Option<(Streaming<M>, Instant)>,
    patience: Patience,
}

impl<M> Follow<M> {
    /// A stream whose first opening must succeed at once.
    pub(crate) const fn new() -> Self {
        Self {
            open: None,
            patience: Patience::none(),
        }
    }

    /// A stream that is known to exist: also its first opening is worth patience.
    pub(crate) const fn patient() -> Self {
        Self {
            open: None,
            patience: Patience::of_stream(),
        }
    }

    /// Returns the next message; `None` when the server has ended the stream.
    ///
    /// # Errors
    /// A refusal, or the last of too many failures in a row.
    pub(crate) async fn next(
        &mut self,
        mut open: impl AsyncFnMut() -> Result<Streaming<M>, Status>,
    ) -> Result<Option<M>, Status> {
        loop {
            let Some((stream, since)) = &mut self.open else {
                match open().await {
                    Ok(stream) => self.opened(stream),
                    Err(status) => self.patience.wait(status).await?,
                }
                continue;
            };
            let next = stream.message().await;
            if matches!(next, Ok(Some(_))) || since.elapsed() > GOOD_LIFE {
                self.patience.progress();
            }
            match next {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {
                    self.open = None;
                    return Ok(None);
                }
                Err(status) => {
                    self.open = None;
                    self.patience.wait(status).await?;
                }
            }
        }
    }

    /// Says that the stream should not have ended: the next message comes from a new one.
    ///
    /// # Errors
    /// If that happened too often in a row.
    pub(crate) async fn ended_early(&mut self) -> Result<(), Status> {
        let why = Refusal::new(Reason::SiteUnreachable, "the server ended the stream early");
        self.patience.wait(why.into()).await
    }

    fn opened(&mut self, stream: Streaming<M>) {
        self.open = Some((stream, Instant::now()));
        self.patience.become_stream();
    }
}

/// Events from a cursor on, without gap or repetition across broken connections.
#[derive(Debug)]
pub(crate) struct Events {
    client: Client,
    request: pb::WatchRequest,
    follow: Follow<pb::WatchResponse>,
}

impl Events {
    /// Events as `request` wants them.
    pub(crate) const fn new(
        client: Client,
        request: pb::WatchRequest,
        follow: Follow<pb::WatchResponse>,
    ) -> Self {
        Self {
            client,
            request,
            follow,
        }
    }

    /// Returns the next event or gap; `None` when no more will come.
    ///
    /// # Errors
    /// A refusal, or the last of too many failures in a row.
    pub(crate) async fn next(&mut self) -> Result<Option<pb::watch_response::Item>, Failure> {
        loop {
            let Self {
                client,
                request,
                follow,
            } = self;
            let open = async || {
                let answer = client.agents.clone().watch(request.clone()).await?;
                Ok(answer.into_inner())
            };
            match follow.next(open).await? {
                Some(response) => {
                    let Some(item) = response.item else { continue };
                    self.advance(&item);
                    return Ok(Some(item));
                }
                None if self.request.no_follow || self.is_over().await? => return Ok(None),
                None => self.follow.ended_early().await?,
            }
        }
    }

    /// Moves the cursor behind `item`. It never moves back, whatever a server sends.
    fn advance(&mut self, item: &pb::watch_response::Item) {
        let seen = match item {
            pb::watch_response::Item::Event(event) => event.sequence,
            pb::watch_response::Item::Gap(gap) => gap.last,
        };
        self.request.after = self.request.after.max(seen);
    }

    /// Whether nothing more can happen to the one agent that is watched.
    async fn is_over(&mut self) -> Result<bool, Failure> {
        if self.request.agent_id.is_empty() {
            return Ok(false);
        }
        let get = pb::GetRequest {
            site: self.request.site.clone(),
            agent_id: self.request.agent_id.clone(),
        };
        let agent = match self.client.agents.get(quick(get)).await {
            Ok(answer) => answer.into_inner().agent,
            // A server that is going away: whether it is over shows when it is back.
            Err(status) if crate::failure::is_broken(&status) => return Ok(false),
            Err(status) => return Err(status.into()),
        };
        Ok(agent.is_some_and(|agent| is_finished(&agent)))
    }
}

/// Whether an agent has ended and its ending has been carried out.
pub(crate) fn is_finished(agent: &pb::Agent) -> bool {
    parse_state(agent.state).is_some_and(|state| state.is_final()) && agent.cleanup.is_some()
}
