//! What a spoke does for requests: the frame of all, spawn and get.

use super::Caller;
use crate::lifecycle::Agents;
use mosaic_common::agent::wire::{parse_agent_id, parse_spec};
use mosaic_common::agent::{AgentRecord, AgentState};
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::{AgentId, CommandId, Reason, Refusal};

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
            usage: None,
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

pub(super) fn not_found(agent: &AgentId) -> Refusal {
    Refusal::new(Reason::AgentNotFound, format!("there is no agent {agent}"))
}
