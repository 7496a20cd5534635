//! What both services of the hub work with.

use crate::claims::Claims;
use crate::forwarder::{Forwarder, Sending};
use crate::index::Index;
use crate::sites::{Needs, Site, Sites};
use crate::testimony::Testimony;
use crate::tokens::Token;
use futures_util::stream::{self, BoxStream, StreamExt};
use mosaic_common::{AgentId, Alias, CommandId, Reason, Refusal};
use mosaic_federation::issuer::Origin;
use mosaic_federation::kind::Request as CommandRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tracing::Instrument;

/// When to try again for a place for a stream.
const RETRY: Duration = Duration::from_secs(1);

/// What the hub's services work with.
#[derive(Debug, Clone)]
pub struct HubParts {
    /// The sites.
    pub sites: Arc<Sites>,
    /// Which of them has which agent.
    pub index: Index,
    /// Which command ids were used for what.
    pub claims: Claims,
    /// The way to the sites.
    pub forwarder: Forwarder,
    /// Room for open streams.
    pub streams: Arc<Semaphore>,
    /// Cancelled when the hub stops.
    pub stop: CancellationToken,
}

/// A stream of a site's answers.
pub(super) type Answers<T> = BoxStream<'static, Result<T, Refusal>>;

/// Who asks, and as part of what. The front has let nobody through without a token.
pub(super) fn origin<T>(request: &Request<T>) -> Result<Origin, Refusal> {
    let token = request.extensions().get::<Token>();
    let nobody = || Refusal::new(Reason::TokenInvalid, "this call needs a token");
    let traceparent = request.metadata().get("traceparent");
    let traceparent = traceparent.and_then(|value| value.to_str().ok());
    Ok(Origin {
        on_behalf_of: token.ok_or_else(nobody)?.name.to_string(),
        traceparent: traceparent.unwrap_or_default().to_owned(),
    })
}

/// Carries work to its end, also when the client hangs up: what has been sent gets its outcome
/// recorded. A panic in it ends this request and no other.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request's task ended early");
        let problem = "the request broke off; the hub's log says why";
        Err(Refusal::new(Reason::Internal, problem))
    })
}

impl HubParts {
    /// Sends a request that only reads to the site that has an agent.
    pub(super) async fn read<R>(
        &self,
        origin: &Origin,
        (named, agent): (Option<Alias>, AgentId),
        request: &R,
    ) -> Result<R::Response, Refusal>
    where
        R: CommandRequest,
        R::Response: Testimony,
    {
        let site = self.site_of(named.as_ref(), &agent, Needs::Usable).await?;
        let sending = Sending {
            site: &site,
            command: CommandId::random(),
            origin,
            agent: Some(agent),
            request,
            extra: Duration::ZERO,
        };
        self.forwarder.send(sending).await
    }

    /// Opens a stream at a site. It holds one of the places for streams as long as it lives.
    pub(super) async fn open<R>(
        &self,
        origin: &Origin,
        site: &Site,
        agent: Option<AgentId>,
        request: &R,
    ) -> Result<Answers<R::Response>, Refusal>
    where
        R: CommandRequest,
        R::Response: Testimony + 'static,
    {
        let place = self.streams.clone().try_acquire_owned().map_err(|_| {
            let problem = "this hub has as many streams open as it may";
            Refusal::new(Reason::Overloaded, problem).retry_after(RETRY)
        })?;
        let sending = Sending {
            site,
            command: CommandId::random(),
            origin,
            agent,
            request,
            extra: Duration::ZERO,
        };
        let answers = self.forwarder.open(sending).await?;
        let answers = answers.take_until(self.stop.clone().cancelled_owned());
        let answers = answers.chain(farewell(self.stop.clone()));
        let held = answers.map(move |answer| {
            let _held = &place;
            answer
        });
        Ok(held.boxed())
    }

    /// The site that a request about an agent is for.
    ///
    /// A named site is not asked about an agent that another site is known to have: a kill there
    /// would bar the id and leave the agent running.
    pub(super) async fn site_of(
        &self,
        named: Option<&Alias>,
        agent: &AgentId,
        needs: Needs,
    ) -> Result<Site, Refusal> {
        let known = self.index.site(agent).await?;
        let unknown = |what: String| Err(Refusal::new(Reason::AgentNotFound, what));
        match (named, &known) {
            (Some(named), Some(known)) if named != known => unknown(format!(
                "the site {named} has no agent {agent}; the site {known} has"
            )),
            (None, None) if self.sites.every(needs)?.len() > 1 => unknown(format!(
                "this hub knows no agent {agent}; name its site to ask there"
            )),
            _ => self.sites.choose(named, known.as_ref(), needs),
        }
    }
}

/// What ends a stream when the hub stops; nothing when it ended by itself.
fn farewell<T: Send + 'static>(stop: CancellationToken) -> Answers<T> {
    let last = async move {
        let what = "the hub is shutting down; resume at the last cursor";
        stop.is_cancelled()
            .then(|| Err(Refusal::new(Reason::SiteUnreachable, what).retry_after(RETRY)))
    };
    stream::once(last).filter_map(std::future::ready).boxed()
}
