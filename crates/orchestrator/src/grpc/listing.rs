//! Lists agents: filtered, newest first, page by page.

use super::{Caller, Requests};
use mosaic_common::Refusal;
use mosaic_common::agent::wire::parse_state;
use mosaic_common::agent::{AgentRecord, AgentState};
use mosaic_common::proto::agent::v1 as pb;
use std::collections::BTreeMap;

/// Agents on a page when the request does not say, and at most. A page of full agents stays
/// far below the largest answer.
const PAGE: (usize, usize) = (100, 500);

impl Requests {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        request: pb::ListRequest,
    ) -> Result<pb::ListResponse, Refusal> {
        self.check_site(&request.site)?;
        let wanted = Filter::parse(&request)?;
        let size = match request.page_size as usize {
            0 => PAGE.0,
            size => size.min(PAGE.1),
        };
        let mut before = parse_page(&request.page_token)?;
        let mut agents = Vec::new();
        let journal = &self.agents().deps().journal;
        loop {
            let page = journal
                .scan(before, PAGE.1)
                .await
                .map_err(|e| crate::journal::unavailable(&e))?;
            let last_page = page.len() < PAGE.1;
            for (number, record) in page {
                if agents.len() == size {
                    let next_page_token =
                        before.map(|number| number.to_string()).unwrap_or_default();
                    return Ok(pb::ListResponse {
                        agents,
                        next_page_token,
                        unreachable: Vec::new(),
                    });
                }
                before = Some(number);
                if caller.sees(&record) && wanted.takes(&record) {
                    agents.push(listed(&record));
                }
            }
            if last_page {
                return Ok(pb::ListResponse {
                    agents,
                    ..Default::default()
                });
            }
        }
    }
}

/// Which agents a listing takes.
struct Filter {
    states: Vec<AgentState>,
    task: String,
    labels: BTreeMap<String, String>,
}

impl Filter {
    fn parse(request: &pb::ListRequest) -> Result<Self, Refusal> {
        let state = |wire: &i32| {
            parse_state(*wire).ok_or_else(|| Refusal::invalid("states", "unknown state"))
        };
        Ok(Self {
            states: request.states.iter().map(state).collect::<Result<_, _>>()?,
            task: request.task_id.clone(),
            labels: request.labels.clone(),
        })
    }

    fn takes(&self, record: &AgentRecord) -> bool {
        (self.states.is_empty() || self.states.contains(&record.state))
            && (self.task.is_empty() || self.task == record.spec.task_id.as_str())
            && self
                .labels
                .iter()
                .all(|(key, value)| record.spec.labels.get(key) == Some(value))
    }
}

/// An agent as it stands in a listing: without its task text, which may be long.
fn listed(record: &AgentRecord) -> pb::Agent {
    let mut agent = pb::Agent::from(record);
    if let Some(spec) = &mut agent.spec {
        spec.task.clear();
    }
    agent
}

fn parse_page(token: &str) -> Result<Option<u64>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    token
        .parse()
        .map(Some)
        .map_err(|_| Refusal::invalid("page_token", "must be the next_page_token of an answer"))
}
