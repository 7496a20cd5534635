//! Sends a request to a site as a signed command, and believes only a receipt that proves itself.
//! The one place of the hub that records, signs and sends.

use crate::index::failed;
use crate::sites::Site;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use mosaic_common::{AgentId, CommandId, Reason, Refusal};
use mosaic_federation::issuer::{Issuer, Origin, SealedCommand};
use mosaic_federation::kind::{self, Carriage, Request};
use mosaic_federation::link::{Frames, LinkError};
use mosaic_federation::receipt::{ReceiptChecker, answer};
use mosaic_federation::record::{CommandRecord, Records};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, info_span, warn};

/// Sends requests to sites.
#[derive(Debug, Clone)]
pub struct Forwarder {
    /// Signs.
    pub issuer: Issuer,
    /// Checks what comes back.
    pub receipts: Arc<ReceiptChecker>,
    /// Remembers what was asked and what became of it.
    pub records: Records,
    /// Tells when a record is made.
    pub clock: Arc<dyn mosaic_common::Clock>,
    /// How long a site may take to answer.
    pub patience: Duration,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sending<'a, R> {
    /// Where to.
    pub site: &'a Site,
    /// Under which id: a retry has the same.
    pub command: CommandId,
    /// The hub's client.
    pub client: &'a str,
    /// The agent it is about.
    pub agent: Option<AgentId>,
    /// What is asked.
    pub request: &'a R,
    /// How long the answer may take beyond the usual: a kill's grace.
    pub extra: Duration,
}

impl Forwarder {
    /// Sends a request and returns the site's answer.
    ///
    /// # Errors
    /// The site's refusal; [`Reason::SiteUnreachable`]; [`Reason::ReceiptInvalid`].
    pub async fn send<R: Request>(&self, sending: Sending<'_, R>) -> Result<R::Response, Refusal> {
        let span = self.span(&sending);
        let work = async {
            let record = self.begin(&sending).await?;
            let answer = self.exchange(&sending).await;
            self.finish::<R>(record, answer.as_ref().err()).await?;
            R::Response::decode(answer?).map_err(|_| unreadable())
        };
        work.instrument(span).await
    }

    /// Opens a stream at a site. Its frames are checked as they come.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn open<R>(
        &self,
        sending: Sending<'_, R>,
    ) -> Result<BoxStream<'static, Result<R::Response, Refusal>>, Refusal>
    where
        R: Request,
        R::Response: 'static,
    {
        let span = self.span(&sending);
        let work = async {
            let record = self.begin(&sending).await?;
            let opened = self.exchange_stream(&sending).await;
            self.finish::<R>(record, opened.as_ref().err()).await?;
            Ok(decoded::<R>(opened?))
        };
        work.instrument(span).await
    }

    fn span<R: Request>(&self, sending: &Sending<'_, R>) -> tracing::Span {
        info_span!(
            "command",
            command.id = %sending.command,
            command.kind = kind::name(R::KIND),
            connection.id = %sending.site.peer().id,
            agent.id = sending.agent.as_ref().map(AgentId::as_str).unwrap_or_default(),
            client = sending.client,
        )
    }

    /// Records a command before it is sent. One that only reads is recorded with its outcome:
    /// it has no effect to be found out later.
    async fn begin<R: Request>(&self, sending: &Sending<'_, R>) -> Result<CommandRecord, Refusal> {
        let peer = sending.site.peer();
        let record = CommandRecord {
            site: peer.site.to_string(),
            on_behalf_of: sending.client.to_owned(),
            agent_id: sending.agent.clone(),
            ..CommandRecord::new(
                sending.command,
                R::KIND,
                Some(peer.id.clone()),
                self.clock.now(),
            )
        };
        match kind::carriage(R::KIND) {
            Some(Carriage::Act) => self
                .records
                .begin(record)
                .await
                .map_err(|error| failed(&error)),
            Some(Carriage::Read | Carriage::Stream) | None => Ok(record),
        }
    }

    async fn finish<R: Request>(
        &self,
        record: CommandRecord,
        refusal: Option<&Refusal>,
    ) -> Result<(), Refusal> {
        if let Some(refusal) = refusal {
            warn!(reason = %refusal.reason, detail = %refusal.message, "command not done");
        }
        let outcome = refusal.map_or(Ok(()), Err);
        if kind::carriage(R::KIND) == Some(Carriage::Act) {
            let finished = self.records.finish(record, outcome).await;
            return finished.map(drop).map_err(|error| failed(&error));
        }
        let (records, outcome) = (self.records.clone(), refusal.cloned());
        tokio::spawn(async move {
            let outcome = outcome.as_ref().map_or(Ok(()), Err);
            if let Err(error) = records.finish(record, outcome).await {
                drop(failed(&error));
            }
        });
        Ok(())
    }

    async fn exchange<R: Request>(&self, sending: &Sending<'_, R>) -> Result<Bytes, Refusal> {
        let sealed = self.seal(sending);
        let sent = sending.site.link.execute(sealed.envelope().clone());
        let envelope = self.in_time(sending, sent).await?;
        let receipt = self
            .receipts
            .check(sending.site.peer(), &sealed, &envelope)?;
        answer(&receipt)
    }

    async fn exchange_stream<R: Request>(
        &self,
        sending: &Sending<'_, R>,
    ) -> Result<Frames, Refusal> {
        let sealed = self.seal(sending);
        let sent = sending.site.link.open(sealed.envelope().clone());
        let (envelope, frames) = self.in_time(sending, sent).await?;
        let receipt = self
            .receipts
            .check(sending.site.peer(), &sealed, &envelope)?;
        answer(&receipt)?;
        let until = sending.site.live.while_active().clone().cancelled_owned();
        Ok(frames.take_until(until).boxed())
    }

    fn seal<R: Request>(&self, sending: &Sending<'_, R>) -> SealedCommand {
        let origin = Origin {
            on_behalf_of: sending.client.to_owned(),
            ..Origin::default()
        };
        self.issuer.command(
            sending.site.peer(),
            sending.command,
            sending.request,
            &origin,
        )
    }

    async fn in_time<R: Request, T>(
        &self,
        sending: &Sending<'_, R>,
        sent: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, Refusal> {
        let site = sending.site.name();
        match tokio::time::timeout(self.patience + sending.extra, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(LinkError::Rejected(refusal))) => Err(refusal),
            Ok(Err(error @ LinkError::Connect { .. })) => {
                warn!(%error, "site cannot be reached");
                Err(unreachable_site(format!(
                    "{site} cannot be reached; nothing was sent"
                )))
            }
            Ok(Err(error @ LinkError::Broken(_))) => {
                warn!(%error, "link broke");
                Err(unreachable_site(format!(
                    "the link to {site} broke; repeat the same command id to learn more"
                )))
            }
            Err(_) => Err(unreachable_site(format!(
                "{site} did not answer in time; repeat the same command id to learn more"
            ))),
        }
    }
}

fn unreachable_site(what: String) -> Refusal {
    /// A link is dialled anew at the next call; a moment later is soon enough.
    const RETRY: Duration = Duration::from_secs(1);
    Refusal::new(Reason::SiteUnreachable, what).retry_after(RETRY)
}

fn unreadable() -> Refusal {
    Refusal::new(
        Reason::ReceiptInvalid,
        "the site's answer cannot be decoded",
    )
}

/// Decodes frames whose numbers have no gap; the first that is wrong ends the stream.
fn decoded<R: Request>(frames: Frames) -> BoxStream<'static, Result<R::Response, Refusal>>
where
    R::Response: 'static,
{
    let in_order = frames.enumerate().map(|(place, frame)| {
        let frame = match frame {
            Ok(frame) => frame,
            Err(LinkError::Rejected(refusal)) => return Err(refusal),
            Err(error) => {
                warn!(%error, "stream broke");
                return Err(unreachable_site(
                    "the stream from the site broke; resume at the last cursor".to_owned(),
                ));
            }
        };
        if frame.sequence != place as u64 + 1 {
            return Err(Refusal::new(
                Reason::ReceiptInvalid,
                "a frame of the site's stream is missing",
            ));
        }
        R::Response::decode(frame.data).map_err(|_| unreadable())
    });
    // Ends with the first error: what follows proves nothing.
    let ended = in_order.scan(false, |over, item| {
        let next = (!*over).then_some(item);
        *over |= matches!(next, Some(Err(_)));
        std::future::ready(next)
    });
    ended.boxed()
}
