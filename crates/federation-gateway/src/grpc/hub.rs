//! What both services of the hub work with, and what a caller is.

use crate::forwarder::{Forwarder, Sending};
use crate::index::Index;
use crate::sites::{Needs, Site, Sites};
use crate::tokens::{Role, Token, Tokens};
use futures_util::stream::{self, BoxStream, StreamExt};
use mosaic_common::{AgentId, CommandId, Reason, Refusal};
use mosaic_federation::kind::Request as CommandRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

/// What the hub's services work with.
#[derive(Debug, Clone)]
pub struct HubParts {
    /// The sites.
    pub sites: Arc<Sites>,
    /// Which of them has which agent.
    pub index: Index,
    /// The way to them.
    pub forwarder: Forwarder,
    /// Who may call.
    pub tokens: Tokens,
    /// Room for open streams.
    pub streams: Arc<Semaphore>,
    /// Cancelled when the hub stops.
    pub stop: CancellationToken,
}

impl HubParts {
    /// Who calls, if they may.
    pub(super) async fn caller<T>(
        &self,
        request: &Request<T>,
        needed: Role,
    ) -> Result<Token, Refusal> {
        self.tokens.authenticate(request.metadata(), needed).await
    }

    /// Sends a request to the site that has an agent.
    pub(super) async fn to_agent<R: CommandRequest>(
        &self,
        caller: &Token,
        (site, agent): (&str, AgentId),
        (command, needs, extra): (CommandId, Needs, Duration),
        request: &R,
    ) -> Result<R::Response, Refusal> {
        let site = self.site_of(site, &agent, needs).await?;
        self.to_site(caller, &site, (command, Some(agent), extra), request)
            .await
    }

    /// Sends a request to a site.
    pub(super) async fn to_site<R: CommandRequest>(
        &self,
        caller: &Token,
        site: &Site,
        (command, agent, extra): (CommandId, Option<AgentId>, Duration),
        request: &R,
    ) -> Result<R::Response, Refusal> {
        let client = caller.name.as_str();
        self.forwarder
            .send(Sending {
                site,
                command,
                client,
                agent,
                request,
                extra,
            })
            .await
    }

    /// Opens a stream at a site. It holds one of the places for streams as long as it lives.
    pub(super) async fn open<R>(
        &self,
        caller: &Token,
        site: &Site,
        agent: Option<AgentId>,
        request: &R,
    ) -> Result<BoxStream<'static, Result<R::Response, Status>>, Refusal>
    where
        R: CommandRequest,
        R::Response: 'static,
    {
        let full = |_| {
            Refusal::new(
                Reason::Overloaded,
                "this hub serves as many streams as it may",
            )
        };
        let place = self.streams.clone().try_acquire_owned().map_err(full)?;
        let (command, client, extra) = (CommandId::random(), caller.name.as_str(), Duration::ZERO);
        let frames = self
            .forwarder
            .open(Sending {
                site,
                command,
                client,
                agent,
                request,
                extra,
            })
            .await?;
        let stopped = self.stop.clone();
        let last =
            stream::once(async move { stopped.is_cancelled() }).filter_map(|stopped| async move {
                let what = "the hub is shutting down; resume at the last cursor";
                stopped.then(|| Err(Refusal::new(Reason::SiteUnreachable, what)))
            });
        let answers = frames
            .take_until(self.stop.clone().cancelled_owned())
            .chain(last);
        Ok(answers
            .map(move |answer| {
                let _held = &place;
                answer.map_err(Status::from)
            })
            .boxed())
    }

    /// The site that a request about an agent is for.
    pub(super) async fn site_of(
        &self,
        named: &str,
        agent: &AgentId,
        needs: Needs,
    ) -> Result<Site, Refusal> {
        let known = self.index.site(agent).await?;
        match (named.is_empty(), known) {
            (true, None) if self.sites.every(Needs::Usable)?.len() != 1 => {
                let what = format!("this hub knows no agent {agent}; name its site to ask there");
                Err(Refusal::new(Reason::AgentNotFound, what))
            }
            _ => {
                self.sites
                    .choose(named, Some(agent), &self.index, needs)
                    .await
            }
        }
    }
}
