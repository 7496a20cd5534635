//! What a site may speak of: agents of its own, and of one agent only what was asked about it.
//!
//! A receipt proves who speaks, not that it is true. What a site says of an agent that was not
//! asked about is refused; the name of the site is always the one this hub knows it by. Pure.

use crate::paging::is_site_token;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Alias, Reason, Refusal};

/// What was asked, and of whom.
#[derive(Debug, Clone)]
pub struct About {
    /// The site that was asked.
    pub site: Alias,
    /// The agent it was asked about; `None`: any of its own.
    pub agent: Option<AgentId>,
}

/// An answer of a site.
pub trait Testimony {
    /// Puts the hub's name of the site into it, and checks that it is about what was asked.
    ///
    /// # Errors
    /// [`Reason::ReceiptInvalid`].
    fn attribute(&mut self, about: &About) -> Result<(), Refusal>;
}

impl About {
    fn check(&self, named: &str) -> Result<(), Refusal> {
        let is_asked = match &self.agent {
            Some(agent) => named == agent.as_str(),
            None => named.parse::<AgentId>().is_ok(),
        };
        if is_asked {
            return Ok(());
        }
        let problem = format!("the site {} answered about another agent", self.site);
        Err(Refusal::new(Reason::ReceiptInvalid, problem))
    }
}

impl Testimony for pb::Agent {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        about.check(&self.agent_id)?;
        self.site = about.site.to_string();
        Ok(())
    }
}

impl Testimony for Option<pb::Agent> {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        self.as_mut().map_or(Ok(()), |agent| agent.attribute(about))
    }
}

/// An answer whose agent must be there.
fn present(agent: &mut Option<pb::Agent>, about: &About) -> Result<(), Refusal> {
    if agent.is_some() {
        return agent.attribute(about);
    }
    let problem = format!("the site {} answered without the agent", about.site);
    Err(Refusal::new(Reason::ReceiptInvalid, problem))
}

impl Testimony for pb::SpawnResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        present(&mut self.agent, about)
    }
}

impl Testimony for pb::GetResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        present(&mut self.agent, about)
    }
}

impl Testimony for pb::KillResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        self.agent.attribute(about)
    }
}

impl Testimony for pb::ListResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        self.unreachable.clear(); // a site knows of no other
        if !is_site_token(&self.next_page_token) {
            let problem = format!("the page token of the site {} is malformed", about.site);
            return Err(Refusal::new(Reason::ReceiptInvalid, problem));
        }
        let mut agents = self.agents.iter_mut();
        agents.try_for_each(|agent| agent.attribute(about))
    }
}

impl Testimony for pb::KillAllResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        self.unreachable.clear();
        if !self.latched_in_memory.is_empty() {
            self.latched_in_memory = vec![about.site.to_string()];
        }
        self.results.iter_mut().try_for_each(|result| {
            result.site = about.site.to_string();
            about.check(&result.agent_id)
        })
    }
}

impl Testimony for pb::ReleaseResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        self.unreachable.clear();
        if !self.released.is_empty() {
            self.released = vec![about.site.to_string()];
        }
        Ok(())
    }
}

impl Testimony for pb::WatchResponse {
    fn attribute(&mut self, about: &About) -> Result<(), Refusal> {
        if let Some(pb::watch_response::Item::Event(event)) = &mut self.item {
            event.site = about.site.to_string();
            about.check(&event.agent_id)?;
        }
        Ok(())
    }
}

impl Testimony for pb::LogsResponse {
    fn attribute(&mut self, _: &About) -> Result<(), Refusal> {
        Ok(()) // bytes of the agent that was asked about; nothing in them is a claim
    }
}

impl Testimony for pb::ResultResponse {
    fn attribute(&mut self, _: &About) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::CommandId;

    fn about(agent: Option<AgentId>) -> About {
        About {
            site: "here".parse().unwrap(),
            agent,
        }
    }

    fn agent(id: &str) -> pb::Agent {
        pb::Agent {
            agent_id: id.into(),
            site: "elsewhere".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_site_speaks_only_of_what_was_asked_and_only_in_its_own_name() {
        let asked = AgentId::of_command(CommandId::random());
        let other = AgentId::of_command(CommandId::random());
        let about = about(Some(asked.clone()));
        let mut good = Some(agent(asked.as_str()));
        good.attribute(&about).unwrap();
        assert_eq!(good.unwrap().site, "here");
        for id in [other.as_str(), "", "../x", "\u{1b}[31m"] {
            let refusal = agent(id).attribute(&about).unwrap_err();
            assert_eq!(refusal.reason, Reason::ReceiptInvalid, "{id:?}");
        }
        assert!(pb::GetResponse::default().attribute(&about).is_err());
        assert!(pb::KillResponse::default().attribute(&about).is_ok());
    }

    #[test]
    fn a_list_with_malformed_agents_or_token_is_refused_whole() {
        let mut list = pb::ListResponse {
            agents: vec![agent("<script>")],
            ..Default::default()
        };
        assert!(list.attribute(&about(None)).is_err());
        for token in ["\u{1b}[2J", &"9".repeat(257)] {
            let mut list = pb::ListResponse {
                next_page_token: token.to_owned(),
                ..Default::default()
            };
            assert!(list.attribute(&about(None)).is_err(), "{token:?}");
        }
    }
}
