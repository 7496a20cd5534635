//! Counts the agents of every site, so that the index is as the sites are: after a restart of the
//! hub, also with a lost store, and after a site was away. What a site no longer lists is
//! forgotten once nobody has asked for it for long.

use crate::forwarder::{Forwarder, Sending};
use crate::index::{self, Index, STALE};
use crate::sites::{Needs, Site, Sites};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Alias, CommandId, Refusal};
use mosaic_federation::issuer::Origin;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tracing::{debug, info};

/// How often every site is counted; one that comes back is counted at once.
const EVERY: Duration = Duration::from_secs(300);

/// Agents asked for with one command.
const PAGE: u32 = 500;

/// Most pages of one site: more agents than a site keeps records of.
const PAGES: usize = 1000;

/// On whose behalf the hub counts, as sites record it.
const WHO: &str = "hub";

/// Counts agents.
#[derive(Debug, Clone)]
pub(crate) struct Census {
    /// The sites.
    pub sites: Arc<Sites>,
    /// The way to them.
    pub forwarder: Forwarder,
    /// What is counted into.
    pub index: Index,
}

impl Census {
    /// Counts every site now and again, and each that comes `back`, for ever.
    pub(crate) async fn run(self, mut back: UnboundedReceiver<Alias>) {
        let mut counts = JoinSet::new();
        let mut round = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                Some(name) = back.recv() => {
                    if let Ok(site) = self.sites.named(&name, Needs::Active) {
                        counts.spawn(self.clone().look(site));
                    }
                }
                _ = round.tick() => {
                    for site in self.sites.every(Needs::Active).unwrap_or_default() {
                        counts.spawn(self.clone().look(site));
                    }
                }
                Some(_) = counts.join_next() => {}
            }
        }
    }

    async fn look(self, site: Site) {
        match self.count(&site).await {
            Ok(0) => {}
            Ok(forgotten) => {
                info!(site = %site.name(), forgotten, "forgot agents that their site no longer has");
            }
            // It is away, or does not let this hub list: the index stays as it is.
            Err(why) => debug!(site = %site.name(), %why, "a site could not be counted"),
        }
    }

    /// Reads the whole list of a site, and returns how many agents were forgotten.
    async fn count(&self, site: &Site) -> Result<usize, Refusal> {
        let limit = self.forwarder.clock.now() - STALE;
        let mut listed = HashSet::new();
        let mut request = pb::ListRequest {
            page_size: PAGE,
            ..pb::ListRequest::default()
        };
        for _ in 0..PAGES {
            let page = self.page(site, &request).await?;
            let seen = index::seen(&page.agents);
            self.index.learn(site.name(), &seen).await?;
            listed.extend(seen.into_iter().map(|(agent, _)| agent));
            if page.next_page_token.is_empty() {
                let is_gone = |agent: &AgentId, owner: &Alias| {
                    owner == site.name() && !listed.contains(agent)
                };
                return self.index.forget(limit, is_gone).await;
            }
            request.page_token = page.next_page_token;
        }
        Ok(0)
    }

    /// One page. It is no client's request, and so the hub keeps no record of it; the site does.
    async fn page(
        &self,
        site: &Site,
        request: &pb::ListRequest,
    ) -> Result<pb::ListResponse, Refusal> {
        let origin = Origin {
            on_behalf_of: WHO.to_owned(),
            ..Origin::default()
        };
        self.forwarder
            .ask(Sending {
                site,
                command: CommandId::random(),
                origin: &origin,
                agent: None,
                request,
                extra: Duration::ZERO,
            })
            .await
    }
}
