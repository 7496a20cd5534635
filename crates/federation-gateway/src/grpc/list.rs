//! Listing agents over many sites.

use super::hub::HubParts;
use super::parse;
use crate::fanout;
use crate::forwarder::Sending;
use crate::index;
use crate::paging::{self, Cursor, Place, SitePage};
use crate::sites::{Needs, Site};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{CommandId, Refusal};
use mosaic_federation::issuer::Origin;
use std::time::Duration;

impl HubParts {
    pub(super) async fn list(
        &self,
        origin: Origin,
        wire: pb::ListRequest,
    ) -> Result<pb::ListResponse, Refusal> {
        let (named, size) = parse::list(&wire)?;
        let cursor = Cursor::parse(&wire.page_token)?;
        let request = pb::ListRequest {
            site: String::new(),
            page_size: size,
            ..wire
        };
        if let Some(name) = named {
            let site = self.sites.named(&name, Needs::Active)?;
            let place = cursor.map_or(Some(Place::default()), |Cursor(mut on)| on.remove(&name));
            let Some(place) = place else {
                return Ok(pb::ListResponse::default()); // read to its end
            };
            let page = self.page(&origin, &site, place, &request).await?;
            return Ok(told(vec![page], size, Vec::new()));
        }
        let mut sites = self.sites.every(Needs::Active)?;
        let mut unreachable = Vec::new();
        match &cursor {
            Some(Cursor(on)) => sites.retain(|site| on.contains_key(site.name())),
            None => unreachable = self.sites.suspended(),
        }
        let answers = fanout::ask(sites, async |site| {
            let place = cursor.as_ref().and_then(|Cursor(on)| on.get(site.name()));
            let place = place.cloned().unwrap_or_default();
            self.page(&origin, &site, place, &request).await
        });
        let answers = answers.await;
        unreachable.extend(answers.unreachable);
        let pages = answers.answered.into_iter().map(|(_, page)| page);
        Ok(told(pages.collect(), size, unreachable))
    }

    /// One page of one site, without agents that another site is known to have: a site can only
    /// speak of its own.
    async fn page(
        &self,
        origin: &Origin,
        site: &Site,
        place: Place,
        request: &pb::ListRequest,
    ) -> Result<SitePage, Refusal> {
        let request = pb::ListRequest {
            page_token: place.page.clone(),
            ..request.clone()
        };
        let sending = Sending {
            site,
            command: CommandId::random(),
            origin,
            agent: None,
            request: &request,
            extra: Duration::ZERO,
        };
        let answer = self.forwarder.send(sending).await?;
        let seen = index::seen(&answer.agents);
        let own = self.index.learn(site.name(), &seen).await?;
        let agents = answer.agents.into_iter().zip(own).filter_map(|(agent, own)| {
            if !own {
                tracing::warn!(agent.id = agent.agent_id, connection.id = %site.peer().id, "a site lists another site's agent");
            }
            own.then_some(agent)
        });
        Ok(SitePage {
            site: site.name().clone(),
            place,
            agents: agents.collect(),
            next: answer.next_page_token,
        })
    }
}

fn told(pages: Vec<SitePage>, size: u32, unreachable: Vec<pb::Unreachable>) -> pb::ListResponse {
    let (agents, cursor) = paging::merge(pages, size as usize);
    pb::ListResponse {
        agents,
        next_page_token: cursor.token(),
        unreachable,
    }
}
