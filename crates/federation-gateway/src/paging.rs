//! One list out of the lists of many sites: newest first, page by page. Pure.
//!
//! Every site is asked for a whole page, and the newest of all are taken. What was not taken is
//! asked for again: the cursor remembers, for each site, which of its pages and after which agent.

use mosaic_common::proto::agent::v1::Agent;
use mosaic_common::{AgentId, Alias, Refusal, ids};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Longest page token of a site, in bytes. A spoke's own is a number; a client could send more.
const SITE_TOKEN_MAX: usize = 256;

/// Where each site's list goes on; a site that is not in it has been read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor(pub BTreeMap<Alias, Place>);

/// Where the list of one site goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The site's token of the page; empty: its first.
    pub page: String,
    /// The last agent of that page that has been told already.
    pub after: Option<Told>,
}

/// An agent that has been told, and when it was made: it may be gone when the list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    agent: AgentId,
    created: (i64, i32),
}

impl Cursor {
    /// Reads a page token; `None`: from the beginning.
    ///
    /// # Errors
    /// If the token is none of ours.
    pub fn parse(token: &str) -> Result<Option<Self>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = ids::unhex(token);
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let fits = |cursor: &Self| cursor.0.values().all(|place| is_site_token(&place.page));
        let wrong = || Refusal::invalid("page_token", "must be the next_page_token of an answer");
        cursor.filter(fits).ok_or_else(wrong).map(Some)
    }

    /// As a page token; empty when every site has been read to its end.
    #[must_use]
    pub fn token(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        ids::hex(&serde_json::to_vec(self).unwrap_or_default()) // names and numbers: cannot fail
    }
}

/// Whether text may be a site's page token: short and plain, whoever sent it.
#[must_use]
pub fn is_site_token(text: &str) -> bool {
    text.len() <= SITE_TOKEN_MAX && !text.chars().any(char::is_control)
}

/// A site's page, as it answered.
#[derive(Debug, Clone)]
pub struct SitePage {
    /// The site.
    pub site: Alias,
    /// What was asked for.
    pub place: Place,
    /// Its agents, newest first.
    pub agents: Vec<Agent>,
    /// Where its list goes on; empty: it ended.
    pub next: String,
}

/// What is left of a page while pages are joined.
struct Rest {
    page: SitePage,
    left: VecDeque<Agent>,
    last: Option<Told>,
}

/// Joins pages: the newest `size` agents, and where the list goes on.
#[must_use]
pub fn merge(pages: Vec<SitePage>, size: usize) -> (Vec<Agent>, Cursor) {
    let mut rests: Vec<Rest> = pages.into_iter().map(Rest::of).collect();
    let mut agents = Vec::new();
    // A site whose page is used up may have newer agents than the others on its next one.
    while agents.len() < size && !rests.iter().any(Rest::goes_on) {
        let newest = rests
            .iter_mut()
            .filter(|rest| !rest.left.is_empty())
            .max_by_key(|rest| rest.left.front().map(created));
        let Some(agent) = newest.and_then(Rest::take) else {
            break;
        };
        agents.push(agent);
    }
    let places = rests.into_iter().filter_map(Rest::place);
    (agents, Cursor(places.collect()))
}

impl Rest {
    /// A page without what has been told of it.
    fn of(mut page: SitePage) -> Self {
        let mut left = VecDeque::from(std::mem::take(&mut page.agents));
        let last = page.place.after.clone();
        if let Some(told) = &last {
            let place = left
                .iter()
                .position(|agent| agent.agent_id == told.agent.as_str());
            match place {
                Some(place) => drop(left.drain(..=place)),
                None => left.retain(|agent| created(agent) <= told.created),
            }
        }
        Self { page, left, last }
    }

    /// Whether only a further page can tell what comes next.
    fn goes_on(&self) -> bool {
        self.left.is_empty() && !self.page.next.is_empty()
    }

    fn take(&mut self) -> Option<Agent> {
        let agent = self.left.pop_front()?;
        if let Ok(id) = agent.agent_id.parse() {
            self.last = Some(Told {
                agent: id,
                created: created(&agent),
            });
        }
        Some(agent)
    }

    /// Where the site's list goes on, if it does.
    fn place(self) -> Option<(Alias, Place)> {
        let place = if self.left.is_empty() {
            Place {
                page: self.page.next,
                after: None,
            }
        } else {
            Place {
                page: self.page.place.page,
                after: self.last,
            }
        };
        (place != Place::default() || !self.left.is_empty()).then_some((self.page.site, place))
    }
}

fn created(agent: &Agent) -> (i64, i32) {
    agent
        .create_time
        .map_or((0, 0), |time| (time.seconds, time.nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::CommandId;
    use proptest::prelude::*;

    /// A site's answer, in pages of `size`, its tokens being places in its list.
    fn answer(site: &str, all: &[Agent], place: Place, size: usize) -> SitePage {
        let from = place.page.parse().unwrap_or(0);
        let agents: Vec<Agent> = all.iter().skip(from).take(size).cloned().collect();
        let end = from + agents.len();
        let next = if end < all.len() {
            end.to_string()
        } else {
            String::new()
        };
        SitePage {
            site: site.parse().unwrap(),
            place,
            next,
            agents,
        }
    }

    fn agent(seconds: i64) -> Agent {
        let create_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        Agent {
            agent_id: AgentId::of_command(CommandId::random()).to_string(),
            create_time,
            ..Default::default()
        }
    }

    /// Reads everything, page by page.
    fn read(sites: &[(String, Vec<Agent>)], size: usize) -> Vec<Agent> {
        let mut told = Vec::new();
        let mut cursor: Option<Cursor> = None;
        loop {
            let pages = sites.iter().filter_map(|(site, all)| {
                let place = match &cursor {
                    None => Place::default(),
                    Some(cursor) => cursor.0.get(&site.parse::<Alias>().unwrap())?.clone(),
                };
                Some(answer(site, all, place, size))
            });
            let (agents, next) = merge(pages.collect(), size);
            assert!(agents.len() <= size);
            told.extend(agents);
            if next.token().is_empty() {
                return told;
            }
            cursor = Cursor::parse(&next.token()).unwrap();
        }
    }

    proptest! {
        #[test]
        fn every_agent_of_every_site_is_told_once_newest_first(
            times in proptest::collection::vec(proptest::collection::vec(0i64..50, 0..12), 0..4),
            size in 1usize..6,
        ) {
            let sites: Vec<(String, Vec<Agent>)> = times
                .into_iter()
                .enumerate()
                .map(|(number, mut times)| {
                    times.sort_unstable_by(|a, b| b.cmp(a));
                    (format!("site-{number}"), times.into_iter().map(agent).collect())
                })
                .collect();
            let told = read(&sites, size);
            prop_assert!(told.is_sorted_by_key(|agent| std::cmp::Reverse(created(agent))));
            let mut ids: Vec<_> = told.iter().map(|agent| &agent.agent_id).collect();
            let mut all: Vec<_> = sites.iter().flat_map(|(_, agents)| agents).map(|a| &a.agent_id).collect();
            ids.sort();
            all.sort();
            prop_assert_eq!(ids, all);
        }
    }

    #[test]
    fn agents_that_are_new_or_gone_between_pages_make_nothing_told_twice() {
        let mut all = vec![agent(30), agent(20), agent(10)];
        let (first, cursor) = merge(vec![answer("a", &all, Place::default(), 3)], 1);
        assert_eq!(first[0], all[0]);
        let place = || cursor.0.values().next().unwrap().clone();
        all.insert(0, agent(40));
        let (second, _) = merge(vec![answer("a", &all, place(), 3)], 3);
        assert_eq!(second, all[2..3]);
        all.retain(|agent| agent.agent_id != first[0].agent_id);
        let (second, _) = merge(vec![answer("a", &all, place(), 3)], 3);
        assert_eq!(second, all[1..3]);
    }

    #[test]
    fn a_token_of_somebody_elses_making_is_refused() {
        let long = serde_json::json!({ "a": { "page": "9".repeat(257), "after": null } });
        let hostile = [
            "x".to_owned(),
            "00".to_owned(),
            ids::hex(b"{\"../x\":{\"page\":\"\",\"after\":null}}"),
            ids::hex(b"{\"a\":{\"page\":\"\\u0000\",\"after\":null}}"),
            ids::hex(long.to_string().as_bytes()),
        ];
        for token in hostile {
            assert!(Cursor::parse(&token).is_err(), "{token}");
        }
    }
}
