//! One list out of the lists of many sites: newest first, page by page. Pure.

use mosaic_common::Refusal;
use mosaic_common::proto::agent::v1::Agent;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Where each site's list goes on; a site that is not in it has been read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub BTreeMap<String, String>);

impl Cursor {
    /// Reads a page token; `None`: from the beginning.
    ///
    /// # Errors
    /// If the token is none of ours.
    pub fn parse(token: &str) -> Result<Option<Self>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = || Refusal::invalid("page_token", "must be the next_page_token of an answer");
        let bytes = mosaic_common::ids::unhex(token).ok_or_else(wrong)?;
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| wrong())
    }

    /// As a page token; empty when every site has been read to its end.
    #[must_use]
    pub fn token(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        mosaic_common::ids::hex(&serde_json::to_vec(&self.0).unwrap_or_default()) // texts: cannot fail
    }
}

/// A site's page, as it answered.
#[derive(Debug, Clone)]
pub struct SitePage {
    /// The site's name.
    pub site: String,
    /// Its agents, newest first.
    pub agents: Vec<Agent>,
    /// Where its list goes on; empty: it ended.
    pub next: String,
}

/// Joins pages, newest agent first. Sites answer with at most `size / sites` agents each, so a
/// page is never larger than was asked for and no agent is left out or told twice.
#[must_use]
pub fn merge(pages: Vec<SitePage>) -> (Vec<Agent>, Cursor) {
    let mut cursor = BTreeMap::new();
    let mut agents = Vec::new();
    for page in pages {
        agents.extend(page.agents);
        if !page.next.is_empty() {
            cursor.insert(page.site, page.next);
        }
    }
    let created = |agent: &Agent| {
        agent
            .create_time
            .map_or((0, 0), |time| (time.seconds, time.nanos))
    };
    agents.sort_by_key(|agent| Reverse(created(agent)));
    (agents, Cursor(cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, seconds: i64) -> Agent {
        let create_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        Agent {
            agent_id: id.into(),
            create_time,
            ..Default::default()
        }
    }

    #[test]
    fn pages_are_joined_newest_first_and_go_on_where_each_site_stopped() {
        let pages = vec![
            SitePage {
                site: "a".into(),
                agents: vec![agent("a2", 30), agent("a1", 10)],
                next: "7".into(),
            },
            SitePage {
                site: "b".into(),
                agents: vec![agent("b1", 20)],
                next: String::new(),
            },
        ];
        let (agents, cursor) = merge(pages);
        let ids: Vec<&str> = agents.iter().map(|agent| agent.agent_id.as_str()).collect();
        assert_eq!(ids, ["a2", "b1", "a1"]);
        assert_eq!(Cursor::parse(&cursor.token()), Ok(Some(cursor.clone())));
        assert_eq!(cursor.0.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(Cursor(BTreeMap::new()).token(), "");
        for token in ["x", "00", "7b", "ffff"] {
            assert!(Cursor::parse(token).is_err(), "{token}");
        }
    }
}
