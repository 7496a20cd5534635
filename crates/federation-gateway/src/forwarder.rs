//! Sends a request to a site as a signed command, and believes only a receipt that proves itself.
//! The one place of the hub that records, signs and sends.

mod frames;
mod miss;

pub use miss::Miss;
pub(crate) use miss::is_of_memory;

use crate::index::failed;
use crate::sites::Site;
use crate::testimony::{About, Testimony};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use mosaic_common::{AgentId, Clock, CommandId, Reason, Refusal, failpoint};
use mosaic_federation::issuer::{Issuer, Origin, SealedCommand};
use mosaic_federation::kind::{self, Carriage, Request};
use mosaic_federation::link::{Frames, LinkError};
use mosaic_federation::receipt::{ReceiptChecker, answer};
use mosaic_federation::record::{CommandRecord, Outcome, Records};
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{Instrument, field, info_span, warn};

/// When to try again at a site that cannot be reached: a link is dialled anew at the next call,
/// so a moment later is soon enough.
const RETRY: Duration = Duration::from_secs(1);

/// Longest text of a site that is passed on, in characters.
const TEXT_MAX: usize = 1024;

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
    pub clock: Arc<dyn Clock>,
    /// How long a site may take to answer.
    pub patience: Duration,
    /// Takes commands of which nobody knows what became, to find out. As many can wait there as
    /// requests may run at once.
    pub open: UnboundedSender<CommandRecord>,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sending<'a, R> {
    /// Where to.
    pub site: &'a Site,
    /// Under which id: a retry has the same.
    pub command: CommandId,
    /// Who asked, and as part of what.
    pub origin: &'a Origin,
    /// The agent it is about.
    pub agent: Option<AgentId>,
    /// What is asked. The same request is always encoded to the same bytes.
    pub request: &'a R,
    /// How long the answer may take beyond the usual: a kill's grace.
    pub extra: Duration,
}

impl<R> Sending<'_, R> {
    fn about(&self) -> About {
        About {
            site: self.site.name().clone(),
            agent: self.agent.clone(),
        }
    }
}

impl Forwarder {
    /// Sends a request and returns the site's answer.
    ///
    /// # Errors
    /// The site's refusal; [`Reason::SiteUnreachable`]; [`Reason::ReceiptInvalid`].
    pub async fn send<R>(&self, sending: Sending<'_, R>) -> Result<R::Response, Refusal>
    where
        R: Request,
        R::Response: Testimony,
    {
        let span = span(&sending);
        let work = async {
            let sealed = self.seal(&sending);
            let record = self.begin(&sending, &sealed).await?;
            failpoint!("hub.record_begun");
            let answer = self.exchange(&sending, &sealed).await;
            failpoint!("hub.answered");
            self.finish::<R>(record, answer.as_ref().err()).await?;
            failpoint!("hub.record_finished");
            Ok(answer?)
        };
        work.instrument(span).await
    }

    /// Asks a site for what only the hub itself wants to know, and records nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn ask<R>(&self, sending: Sending<'_, R>) -> Result<R::Response, Refusal>
    where
        R: Request,
        R::Response: Testimony,
    {
        let sealed = self.seal(&sending);
        let answer = self.exchange(&sending, &sealed);
        Ok(answer.instrument(span(&sending)).await?)
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
        R::Response: Testimony + 'static,
    {
        let span = span(&sending);
        let work = async {
            let sealed = self.seal(&sending);
            let record = self.begin(&sending, &sealed).await?;
            let opened = self.exchange_stream(&sending, &sealed).await;
            // one step: a stream only reads, so nothing was recorded before
            self.finish::<R>(record, opened.as_ref().err()).await?;
            Ok(frames::decoded(opened?, sending.about()))
        };
        work.instrument(span).await
    }

    /// Records a command before it is sent. One that only reads is recorded with its outcome:
    /// it has no effect to be found out later.
    async fn begin<R: Request>(
        &self,
        sending: &Sending<'_, R>,
        sealed: &SealedCommand,
    ) -> Result<CommandRecord, Refusal> {
        let peer = sending.site.peer();
        let now = self.clock.now();
        let record = CommandRecord {
            site: peer.site.to_string(),
            on_behalf_of: sending.origin.on_behalf_of.clone(),
            agent_id: sending.agent.clone(),
            ..CommandRecord::new(sending.command, R::KIND, Some(peer.id.clone()), now)
        };
        match kind::carriage(R::KIND) {
            Some(Carriage::Act) => {
                let begun = self.records.begin_sent(record, sealed).await;
                begun.map_err(|error| failed(&error))
            }
            Some(Carriage::Read | Carriage::Stream) | None => Ok(record),
        }
    }

    async fn finish<R: Request>(
        &self,
        record: CommandRecord,
        miss: Option<&Miss>,
    ) -> Result<(), Refusal> {
        let refusal = miss.map(Miss::refusal);
        if let Some(refusal) = refusal {
            warn!(reason = %refusal.reason, detail = %refusal.message, "command not done");
        }
        let outcome = refusal.map_or(Ok(()), Err);
        if kind::carriage(R::KIND) == Some(Carriage::Act) {
            if let Some(miss) = miss
                && record.outcome == Outcome::Pending
                && !miss.decides(record.lacks_an_answer())
            {
                let why = miss.refusal();
                let noted = self.records.note(record, why).await;
                let record = noted.map_err(|error| failed(&error))?;
                // Nobody takes it only when the hub stops; its next life finds the record.
                self.open.send(record).ok();
                return Ok(());
            }
            let finished = self.records.finish(record, outcome).await;
            return finished.map(drop).map_err(|error| failed(&error));
        }
        let (records, outcome) = (self.records.clone(), refusal.cloned());
        tokio::spawn(async move {
            let outcome = outcome.as_ref().map_or(Ok(()), Err);
            // one step: the other arm has returned
            if let Err(error) = records.finish(record, outcome).await {
                drop(failed(&error));
            }
        });
        Ok(())
    }

    async fn exchange<R>(
        &self,
        sending: &Sending<'_, R>,
        sealed: &SealedCommand,
    ) -> Result<R::Response, Miss>
    where
        R: Request,
        R::Response: Testimony,
    {
        let wait = self.patience + sending.extra;
        let answer = self.deliver(sending.site, sealed, wait).await?;
        decode(answer, &sending.about()).map_err(Miss::Said)
    }

    /// Sends a sealed command, and believes only a receipt for it. Records nothing.
    ///
    /// # Errors
    /// What there is instead of an answer.
    pub(crate) async fn deliver(
        &self,
        site: &Site,
        sealed: &SealedCommand,
        wait: Duration,
    ) -> Result<Bytes, Miss> {
        let sent = site.link.execute(sealed.envelope().clone());
        let envelope = in_time(site, wait, sent).await?;
        let receipt = self.receipts.check(site.peer(), sealed, &envelope);
        let receipt = receipt.map_err(|error| Miss::Said(error.into()))?;
        answer(&receipt).map_err(Miss::of_site)
    }

    async fn exchange_stream<R: Request>(
        &self,
        sending: &Sending<'_, R>,
        sealed: &SealedCommand,
    ) -> Result<Frames, Miss> {
        let site = sending.site;
        let sent = site.link.open(sealed.envelope().clone());
        let (envelope, frames) = in_time(site, self.patience + sending.extra, sent).await?;
        let receipt = self.receipts.check(site.peer(), sealed, &envelope);
        let receipt = receipt.map_err(|error| Miss::Said(error.into()))?;
        answer(&receipt).map_err(Miss::Said)?;
        Ok(frames)
    }

    fn seal<R: Request>(&self, sending: &Sending<'_, R>) -> SealedCommand {
        let (peer, request) = (sending.site.peer(), sending.request);
        self.issuer
            .command(peer, sending.command, request, sending.origin)
    }
}

async fn in_time<T>(
    site: &Site,
    wait: Duration,
    sent: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, Miss> {
    let site = site.name();
    let error = match tokio::time::timeout(wait, sent).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error,
        Err(_) => {
            let what = format!("{site} did not answer in time; {LEARN_MORE}");
            return Err(Miss::Unknown(unreachable_site(what)));
        }
    };
    warn!(%error, "no answer from the site");
    Err(match error {
        LinkError::Rejected(refusal) => Miss::Said(plain(refusal)),
        LinkError::Connect { .. } => Miss::Said(unreachable_site(format!(
            "{site} cannot be reached; nothing was sent"
        ))),
        LinkError::Broken(_) => Miss::Unknown(unreachable_site(format!(
            "the link to {site} broke; {LEARN_MORE}"
        ))),
    })
}

/// What to do when nobody here knows whether the site acted.
const LEARN_MORE: &str = "repeat the request with the same command id to learn more";

fn span<R: Request>(sending: &Sending<'_, R>) -> tracing::Span {
    let agent = sending.agent.as_ref().map(field::display);
    info_span!(
        "command",
        command.id = %sending.command,
        command.kind = kind::name(R::KIND),
        connection.id = %sending.site.peer().id,
        agent.id = agent,
        client = sending.origin.on_behalf_of,
    )
}

fn unreachable_site(what: String) -> Refusal {
    Refusal::new(Reason::SiteUnreachable, what).retry_after(RETRY)
}

/// A site's refusal without control characters and not longer than people read.
fn plain(refusal: Refusal) -> Refusal {
    let text = refusal.message.chars().filter(|c| !c.is_control());
    Refusal {
        message: text.take(TEXT_MAX).collect(),
        ..refusal
    }
}

/// Reads what a site says about what was asked.
fn decode<T: Message + Default + Testimony>(bytes: Bytes, about: &About) -> Result<T, Refusal> {
    let mut answer = T::decode(bytes).map_err(|_| {
        let problem = format!("the answer of the site {} cannot be decoded", about.site);
        Refusal::new(Reason::ReceiptInvalid, problem)
    })?;
    answer.attribute(about)?;
    Ok(answer)
}
