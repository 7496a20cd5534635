//! Finds out what became of commands that have no answer: those of an earlier life of the hub, and
//! those whose answer was lost. Each ends as delivered, as refused by its site, or as undelivered.
//!
//! A command takes effect while it is valid, or never: until then the very same bytes are sent
//! again, which a site that has done it answers with the same receipt. After that the site is only
//! asked what it shows of it. Owns no record while a client repeats the command itself.

mod verdict;

use crate::claims::Claims;
use crate::forwarder::{Forwarder, Miss, Sending};
use crate::index::failed;
use crate::sites::{Needs, Site, Sites};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{CommandId, Reason, Refusal, failpoint};
use mosaic_federation::issuer::{Origin, SealedCommand};
use mosaic_federation::record::CommandRecord;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use verdict::{Heard, Next};

/// From one attempt to the next: at first soon, since most links come back in a moment, and never
/// so late that hub and site disagree for half a minute after the way is free.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Longest that one attempt waits. A site goes on with what it has begun, and a later attempt gets
/// its answer; a link that swallows everything must not hold up what can be sent over the next.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Settles open commands.
#[derive(Debug, Clone)]
pub struct Settler {
    /// The sites.
    pub sites: Arc<Sites>,
    /// The way to them.
    pub forwarder: Forwarder,
    /// Tells which commands a client is waiting for now.
    pub claims: Claims,
}

impl Settler {
    /// Settles what an earlier life left open, and then what `open` brings, until `stop`.
    pub async fn run(self, mut open: UnboundedReceiver<CommandRecord>, stop: CancellationToken) {
        let mut wait = WAITS.0;
        let left = loop {
            match self.forwarder.records.open().await {
                Ok(left) => break left,
                Err(error) => drop(failed(&error)),
            }
            if stop
                .run_until_cancelled(tokio::time::sleep(wait))
                .await
                .is_none()
            {
                return;
            }
            wait = (wait * 2).min(WAITS.1);
        };
        if !left.is_empty() {
            info!(
                commands = left.len(),
                "settling what an earlier life left open"
            );
        }
        for record in left {
            self.begin(record, &stop);
        }
        while let Some(Some(record)) = stop.run_until_cancelled(open.recv()).await {
            self.begin(record, &stop);
        }
    }

    /// A task for each, so that a dead site holds up only what is its own.
    fn begin(&self, record: CommandRecord, stop: &CancellationToken) {
        let (settler, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(settler.settle(record)).await });
    }

    async fn settle(self, mut record: CommandRecord) {
        let mut wait = WAITS.0;
        loop {
            if !self.claims.is_open(record.command_id) {
                failpoint!("hub.settle_began");
                let heard = self.hear(&record).await;
                failpoint!("hub.settle_heard");
                match self.conclude(&record, heard).await {
                    Ok(Some(open)) => record = open,
                    Ok(None) => return,
                    Err(error) => drop(failed(&error)),
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// Sends it again, or asks for it.
    async fn hear(&self, record: &CommandRecord) -> Heard {
        let sealed = record.sealed();
        let expires = sealed.as_ref().map(SealedCommand::expires_at);
        let next = verdict::next(expires, record.created, self.forwarder.clock.now());
        let site = match self.site(record) {
            Ok(site) => site,
            Err(why) if next == Next::Ask => return Heard::Never(why),
            Err(why) => return Heard::Nothing(why),
        };
        match (next, sealed) {
            (Next::Send, Some(sealed)) if sealed.epoch() == site.peer().epoch => {
                let wait = self.forwarder.patience.min(ATTEMPT);
                match self.forwarder.deliver(&site, &sealed, wait).await {
                    Ok(_) => Heard::Done,
                    Err(Miss::Said(refusal)) => verdict::of_repeat(refusal),
                    Err(Miss::Unknown(why)) => Heard::Nothing(why),
                }
            }
            (Next::Send | Next::Wait, _) => {
                let why = "no answer yet; the site is asked once the command is void";
                Heard::Nothing(Refusal::new(Reason::SiteUnreachable, why))
            }
            (Next::Ask, _) => self.ask(record, &site).await,
        }
    }

    /// What the site shows of a command that is void.
    async fn ask(&self, record: &CommandRecord, site: &Site) -> Heard {
        let Some(agent) = record.agent_id.clone() else {
            return verdict::of_all();
        };
        let origin = Origin {
            on_behalf_of: record.on_behalf_of.clone(),
            ..Origin::default()
        };
        let request = pb::GetRequest {
            agent_id: agent.to_string(),
            ..Default::default()
        };
        let answer = self.forwarder.send(Sending {
            site,
            command: CommandId::random(),
            origin: &origin,
            agent: Some(agent),
            request: &request,
            extra: Duration::ZERO,
        });
        verdict::of_status(record, answer.await.map(|answer| answer.agent))
    }

    /// The site over the connection that the command went over.
    fn site(&self, record: &CommandRecord) -> Result<Site, Refusal> {
        let gone = || {
            let problem = "the connection that it went over is no longer there";
            Refusal::new(Reason::SiteNotActive, problem)
        };
        let name = record.site.parse().map_err(|_| gone())?;
        let site = self.sites.named(&name, Needs::Usable)?;
        let is_same = record.connection.as_ref() == Some(&site.peer().id);
        is_same.then_some(site).ok_or_else(gone)
    }

    /// Writes down what was heard, unless a client has taken the command up again. Returns the
    /// record if it is open yet.
    async fn conclude(
        &self,
        record: &CommandRecord,
        heard: Heard,
    ) -> Result<Option<CommandRecord>, mosaic_store::Error> {
        let Ok(_claim) = self.claims.enter(record.command_id) else {
            return Ok(Some(record.clone())); // a client repeats it: look again later
        };
        let records = &self.forwarder.records;
        let Some(now) = records.still_open(record).await? else {
            return Ok(None); // ended, or open with other bytes: then whoever sent them sees to it
        };
        let outcome = match &heard {
            Heard::Nothing(why) if is_noted(&now, why) => return Ok(Some(now)),
            Heard::Nothing(why) => return records.note(now, why).await.map(Some),
            Heard::Done => Ok(()),
            Heard::Refused(refusal) => Err(refusal.clone()),
            Heard::Never(why) => Err(verdict::undelivered(why)),
        };
        let outcome = outcome.as_ref().copied();
        let ended = records.finish(now, outcome).await?;
        failpoint!("hub.settle_finished");
        warn!(
            command.id = %ended.command_id, command.kind = ended.kind, connection.id = ?ended.connection,
            outcome = ?ended.outcome, reason = ended.reason, "settled a command that had no answer"
        );
        Ok(None)
    }
}

/// Whether a record says so already: a dead site is not worth a write each second.
fn is_noted(record: &CommandRecord, why: &Refusal) -> bool {
    record.reason == why.reason.as_str() && record.detail == why.message
}
