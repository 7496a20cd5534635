//! What a spoke does for each request that is answered once.

use super::Caller;
use crate::killswitch::{self, Killed, Order};
use crate::lifecycle::Agents;
use mosaic_common::agent::wire::{parse_agent_id, parse_spec, parse_state};
use mosaic_common::agent::{AgentRecord, AgentState};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, CommandId, Reason, Refusal};
use std::collections::BTreeMap;
use std::time::Duration;

/// Agents on a page when the request does not say, and at most. A page of full agents stays
/// far below the largest answer.
const PAGE: (usize, usize) = (100, 500);

/// Longest reason of a kill in bytes: it stands in every event about it.
const REASON_MAX: usize = 256;

/// Longest grace of a kill: nobody waits longer, and a kill is not a wish.
const GRACE_MAX: Duration = Duration::from_secs(300);

/// Carries out requests.
#[derive(Debug, Clone)]
pub struct Requests {
    agents: Agents,
}

impl Requests {
    /// Over a register of agents.
    #[must_use]
    pub fn new(agents: Agents) -> Self {
        Self { agents }
    }

    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Says whether a spawn would be refused now, without any effect.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        command: CommandId,
        request: &pb::SpawnRequest,
    ) -> Result<(), Refusal> {
        self.check_site(&request.site)?;
        let spec = parse_spec(
            request.spec.as_ref().unwrap_or(&pb::AgentSpec::default()),
            command,
        )?;
        caller.check(&self.agents.deps().spawner.resolve(spec, caller.most())?)?;
        self.agents.gate().check(caller.quota().as_ref())
    }

    pub(super) async fn spawn(
        &self,
        caller: &Caller,
        command_id: CommandId,
        request: pb::SpawnRequest,
    ) -> Result<pb::SpawnResponse, Refusal> {
        self.check_site(&request.site)?;
        let spec = request
            .spec
            .ok_or_else(|| Refusal::invalid("spec", "must be set"))?;
        let (deps, site) = (
            self.agents.deps(),
            self.agents.deps().journal.site().clone(),
        );
        let spec = deps
            .spawner
            .resolve(parse_spec(&spec, command_id)?, caller.most())?;
        caller.check(&spec)?;
        let record = AgentRecord {
            spec,
            site,
            state: AgentState::Queued,
            cause: None,
            connection: caller.connection().cloned(),
            command_id,
            created: deps.journal.now(),
            started: None,
            ended: None,
            cleanup: None,
        };
        let agent = match self.agents.gate().enter(caller.quota().as_ref()) {
            Ok(pass) => self.agents.accept(record, pass).await?,
            // A retry of what is there already needs no room.
            Err(refusal) => match self.agents.get(record.id()).await? {
                Some(there) => {
                    crate::lifecycle::policy::retry(&there, &record)?;
                    there
                }
                None => return Err(refusal),
            },
        };
        Ok(pb::SpawnResponse {
            agent: Some((&agent).into()),
        })
    }

    pub(super) async fn get(
        &self,
        caller: &Caller,
        request: pb::GetRequest,
    ) -> Result<pb::GetResponse, Refusal> {
        self.check_site(&request.site)?;
        let record = self
            .visible(caller, &parse_agent_id(&request.agent_id)?)
            .await?;
        Ok(pb::GetResponse {
            agent: Some((&record).into()),
        })
    }

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
        let journal = &self.agents.deps().journal;
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

    pub(super) async fn kill(
        &self,
        caller: &Caller,
        command: CommandId,
        request: pb::KillRequest,
    ) -> Result<pb::KillResponse, Refusal> {
        self.check_site(&request.site)?;
        let agent = parse_agent_id(&request.agent_id)?;
        let order = order(caller, command, &request.reason)?;
        let grace = match request.grace {
            None => self.agents.deps().stop_grace,
            Some(grace) => parse_grace(grace)?,
        };
        if let Some(record) = self
            .agents
            .get(&agent)
            .await?
            .filter(|record| !caller.sees(record))
        {
            return Err(not_found(record.id()));
        }
        let (outcome, agent, detail) =
            told(&killswitch::kill(&self.agents, &agent, &order, grace).await?);
        Ok(pb::KillResponse {
            outcome: outcome.into(),
            agent,
            detail,
        })
    }

    pub(super) async fn kill_all(
        &self,
        caller: &Caller,
        command: CommandId,
        request: pb::KillAllRequest,
    ) -> Result<pb::KillAllResponse, Refusal> {
        self.check_site(&request.site)?;
        let order = order(caller, command, &request.reason)?;
        let killed = killswitch::kill_all(&self.agents, &order).await?;
        let site = self.agents.deps().journal.site();
        let results = killed.into_iter().map(|(agent, killed)| {
            let (outcome, _, detail) = told(&killed);
            pb::KillAllResult {
                site: site.to_string(),
                agent_id: agent.to_string(),
                outcome: outcome.into(),
                detail,
            }
        });
        Ok(pb::KillAllResponse {
            results: results.collect(),
            unreachable: Vec::new(),
        })
    }

    pub(super) async fn release(
        &self,
        caller: &Caller,
        command: CommandId,
        request: pb::ReleaseRequest,
    ) -> Result<pb::ReleaseResponse, Refusal> {
        self.check_site(&request.site)?;
        let was = killswitch::release(&self.agents, &order(caller, command, "")?).await?;
        let site = self.agents.deps().journal.site().to_string();
        Ok(pb::ReleaseResponse {
            released: was.then_some(site).into_iter().collect(),
            unreachable: Vec::new(),
        })
    }

    /// The agent, if there is one that the caller may know of.
    pub(super) async fn visible(
        &self,
        caller: &Caller,
        agent: &AgentId,
    ) -> Result<AgentRecord, Refusal> {
        let record = self.agents.get(agent).await?;
        record
            .filter(|record| caller.sees(record))
            .ok_or_else(|| not_found(agent))
    }

    /// A spoke answers for itself only.
    pub(super) fn check_site(&self, site: &str) -> Result<(), Refusal> {
        let own = self.agents.deps().journal.site();
        if site.is_empty() || site == own.as_str() {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::SiteUnknown,
            format!("this is {own}; ask a hub for another site"),
        ))
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

fn parse_grace(wire: prost_types::Duration) -> Result<Duration, Refusal> {
    let grace =
        Duration::try_from(wire).map_err(|_| Refusal::invalid("grace", "must not be negative"))?;
    if grace > GRACE_MAX {
        return Err(Refusal::invalid(
            "grace",
            format!("at most {} seconds", GRACE_MAX.as_secs()),
        ));
    }
    Ok(grace)
}

fn order(caller: &Caller, command: CommandId, reason: &str) -> Result<Order, Refusal> {
    if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        let problem = format!("at most {REASON_MAX} bytes without control characters");
        return Err(Refusal::invalid("reason", problem));
    }
    let connection = caller.connection().cloned();
    Ok(Order {
        command,
        by: caller.name(),
        reason: reason.to_owned(),
        connection,
    })
}

fn not_found(agent: &AgentId) -> Refusal {
    Refusal::new(Reason::AgentNotFound, format!("there is no agent {agent}"))
}

fn told(killed: &Killed) -> (pb::KillOutcome, Option<pb::Agent>, String) {
    let agent = |record: &AgentRecord| Some(record.into());
    match killed {
        Killed::Dead(record) => (pb::KillOutcome::Killed, agent(record), String::new()),
        Killed::AlreadyEnded(record) => {
            (pb::KillOutcome::AlreadyEnded, agent(record), String::new())
        }
        Killed::NeverStarted => (pb::KillOutcome::NeverStarted, None, String::new()),
        Killed::NotProved(record, why) => (pb::KillOutcome::NotProved, agent(record), why.clone()),
    }
}
