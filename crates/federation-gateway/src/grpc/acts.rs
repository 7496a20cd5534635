//! Requests that change something: each takes its command id first, so that a repeat has no
//! second effect, and is carried to its end even if the client hangs up.

use super::hub::HubParts;
use super::parse;
use crate::claims::conflict;
use crate::fanout;
use crate::forwarder::Sending;
use crate::sites::{Needs, Site};
use crate::testimony::Testimony;
use mosaic_common::agent::wire::parse_command_id;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, Alias, CommandId, Reason, Refusal, failpoint};
use mosaic_federation::issuer::Origin;
use mosaic_federation::kind::Request;
use std::time::Duration;

/// How much longer than other answers that of a kill may take: the spoke's own budget for a
/// proof, beyond the grace.
const KILL_EXTRA: Duration = Duration::from_secs(30);

impl HubParts {
    pub(super) async fn spawn(
        &self,
        origin: Origin,
        wire: pb::SpawnRequest,
    ) -> Result<pb::SpawnResponse, Refusal> {
        let (command, named, spec) = parse::spawn(&wire)?;
        let agent = spec.agent_id.clone();
        let known = self.index.site(&agent).await?;
        let choice = self
            .sites
            .choose(named.as_ref(), known.as_ref(), Needs::Active);
        let site = choice?;
        self.own(command, &agent, &site).await?;
        failpoint!("hub.index_claimed");
        let mut request = pb::SpawnRequest {
            site: site.name().to_string(),
            command_id: command.to_string(),
            spec: Some((&spec).into()),
        };
        let _claim = self.claims.take(command, &request).await?;
        failpoint!("hub.command_claimed");
        request.site.clear(); // the audience says who is meant
        self.forwarder
            .send(Sending {
                site: &site,
                command,
                origin: &origin,
                agent: Some(agent),
                request: &request,
                extra: Duration::ZERO,
            })
            .await
    }

    /// Gives an agent to the site it is to be spawned at, if no other has it.
    async fn own(&self, command: CommandId, agent: &AgentId, site: &Site) -> Result<(), Refusal> {
        let owner = self.index.claim(agent, site.name()).await?;
        if owner == *site.name() {
            return Ok(());
        }
        if self.claims.holds(command).await? {
            return Err(conflict(command));
        }
        let problem = format!("the agent {agent} was asked for at the site {owner}");
        Err(Refusal::new(Reason::AgentExists, problem))
    }

    pub(super) async fn kill(
        &self,
        origin: Origin,
        wire: pb::KillRequest,
    ) -> Result<pb::KillResponse, Refusal> {
        let (command, named, agent, grace) = parse::kill(&wire)?;
        let site = self.site_of(named.as_ref(), &agent, Needs::Usable).await?;
        // From now on the id belongs there: a spawn of it must meet the bar that this kill puts up.
        self.index.claim(&agent, site.name()).await?;
        failpoint!("hub.kill_indexed");
        let mut request = pb::KillRequest {
            site: site.name().to_string(),
            command_id: command.to_string(),
            ..wire
        };
        let _claim = self.claims.take(command, &request).await?;
        request.site.clear();
        let answer = self
            .forwarder
            .send(Sending {
                site: &site,
                command,
                origin: &origin,
                agent: Some(agent.clone()),
                request: &request,
                extra: grace + KILL_EXTRA,
            })
            .await?;
        if answer.outcome().is_proof() {
            self.bury(&site, vec![agent]);
        }
        Ok(answer)
    }

    /// Notes in the index that agents are dead. Nobody waits for it: a census would find out too.
    fn bury(&self, site: &Site, agents: Vec<AgentId>) {
        let (index, name) = (self.index.clone(), site.name().clone());
        let seen: Vec<_> = agents.into_iter().map(|agent| (agent, true)).collect();
        tokio::spawn(async move { index.learn(&name, &seen).await });
    }

    pub(super) async fn kill_all(
        &self,
        origin: Origin,
        wire: pb::KillAllRequest,
    ) -> Result<pb::KillAllResponse, Refusal> {
        let command = parse_command_id(&wire.command_id)?;
        let named = parse::site(&wire.site)?;
        parse::reason(&wire.reason)?;
        self.check(named.as_ref())?;
        let mut request = pb::KillAllRequest {
            command_id: command.to_string(),
            ..wire
        };
        let _claim = self.claims.take(command, &request).await?;
        request.site.clear();
        let order = Order {
            command,
            origin: &origin,
            extra: KILL_EXTRA,
        };
        let answers = self.to_all(named, order, &request).await?;
        let mut told = pb::KillAllResponse {
            unreachable: answers.unreachable,
            ..pb::KillAllResponse::default()
        };
        for (site, answer) in answers.answered {
            let dead = answer.results.iter().filter(|row| row.outcome().is_proof());
            let dead = dead.filter_map(|row| row.agent_id.parse().ok());
            self.bury(&site, dead.collect());
            told.results.extend(answer.results);
            told.latched_in_memory.extend(answer.latched_in_memory);
        }
        for silent in &told.unreachable {
            // What was done is told, also where the index cannot be read: the log says so.
            let lines = self.last_known(silent).await;
            told.results.extend(lines.unwrap_or_default());
        }
        Ok(told)
    }

    /// A line for each agent that a silent site may still have.
    async fn last_known(
        &self,
        silent: &pb::Unreachable,
    ) -> Result<Vec<pb::KillAllResult>, Refusal> {
        let Ok(site) = silent.site.parse() else {
            return Ok(Vec::new()); // names of sites come from the configuration, and parse
        };
        let alive = self.index.alive(&site).await?.into_iter();
        let line = |agent: AgentId| pb::KillAllResult {
            site: silent.site.clone(),
            agent_id: agent.to_string(),
            outcome: pb::KillOutcome::Unreachable.into(),
            detail: "it was given to this site, which did not answer; that it ended is not known"
                .into(),
        };
        Ok(alive.map(line).collect())
    }

    pub(super) async fn release(
        &self,
        origin: Origin,
        wire: pb::ReleaseRequest,
    ) -> Result<pb::ReleaseResponse, Refusal> {
        let command = parse_command_id(&wire.command_id)?;
        let named = parse::site(&wire.site)?;
        self.check(named.as_ref())?;
        let mut request = pb::ReleaseRequest {
            command_id: command.to_string(),
            ..wire
        };
        let _claim = self.claims.take(command, &request).await?;
        request.site.clear();
        let order = Order {
            command,
            origin: &origin,
            extra: Duration::ZERO,
        };
        let answers = self.to_all(named, order, &request).await?;
        let released = answers.answered.into_iter();
        Ok(pb::ReleaseResponse {
            released: released.flat_map(|(_, answer)| answer.released).collect(),
            unreachable: answers.unreachable,
        })
    }

    /// Checks a named site before a command id is used up for it.
    fn check(&self, named: Option<&Alias>) -> Result<(), Refusal> {
        named.map_or(Ok(()), |name| {
            self.sites.named(name, Needs::Active).map(drop)
        })
    }

    /// Sends a request to the named site, or to all: each gets it under the same command id. Sites
    /// that cannot be told are named, unless the only one was: then that is the answer.
    async fn to_all<R>(
        &self,
        named: Option<Alias>,
        order: Order<'_>,
        request: &R,
    ) -> Result<fanout::Answers<R::Response>, Refusal>
    where
        R: Request,
        R::Response: Testimony,
    {
        let send = async |site: Site| {
            let sending = Sending {
                site: &site,
                command: order.command,
                origin: order.origin,
                agent: None,
                request,
                extra: order.extra,
            };
            self.forwarder.send(sending).await
        };
        if let Some(name) = named {
            let site = self.sites.named(&name, Needs::Active)?;
            return Ok(fanout::Answers {
                answered: vec![(site.clone(), send(site).await?)],
                unreachable: Vec::new(),
            });
        }
        let mut answers = fanout::ask(self.sites.every(Needs::Active)?, send).await;
        answers.unreachable.extend(self.sites.suspended());
        Ok(answers)
    }
}

/// What every site gets the same.
#[derive(Clone, Copy)]
struct Order<'a> {
    command: CommandId,
    origin: &'a Origin,
    extra: Duration,
}
