//! Reads a list of agents, page by page.

use super::Context;
use crate::{client::quick, exit::Exit, failure::Failure, view::agent::AgentView};
use mosaic_common::proto::agent::v1 as pb;
use std::collections::BTreeSet;

/// Agents in one answer: as many as a server gives.
pub(super) const PAGE: u32 = 500;

/// The sites that did not answer, and why.
#[derive(Debug, Default)]
pub(super) struct Silent(BTreeSet<(String, String)>);

/// Calls `take` for each agent that is asked for, at most `limit` times.
///
/// # Errors
/// If it is refused, if nobody could be reached, or `take`'s.
pub(super) async fn each(
    context: &Context,
    mut request: pb::ListRequest,
    limit: usize,
    mut take: impl FnMut(AgentView) -> Result<(), Failure>,
) -> Result<Silent, Failure> {
    let mut client = context.client()?;
    let (mut left, mut silent) = (limit, Silent::default());
    loop {
        let page = client
            .agents
            .list(quick(request.clone()))
            .await?
            .into_inner();
        for agent in page.agents.into_iter().take(left).map(AgentView::from) {
            left -= 1;
            take(agent)?;
        }
        let sites = page.unreachable.into_iter();
        silent.0.extend(sites.map(|site| (site.site, site.detail)));
        // A token that does not change would be asked for ever.
        let next = page.next_page_token;
        if left == 0 || next.is_empty() || next == request.page_token {
            return Ok(silent);
        }
        request.page_token = next;
    }
}

impl Silent {
    /// Says who did not answer, after the others were listed.
    ///
    /// # Errors
    /// If anybody did not.
    pub(super) fn tell(&self, context: &Context) -> Result<Exit, Failure> {
        for (site, detail) in &self.0 {
            let warning = format!("warning: {site} did not answer: {detail}");
            context.console.note(&warning);
        }
        if self.0.is_empty() {
            Ok(Exit::Done)
        } else {
            Err(Failure::SitesUnreachable(self.0.len()))
        }
    }
}
