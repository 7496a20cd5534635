//! Kill, kill-all and release, as they are asked and answered.

use super::requests::not_found;
use super::{Caller, Requests};
use crate::killswitch::{self, Killed, Latched, Order};
use mosaic_common::agent::AgentRecord;
use mosaic_common::agent::wire::parse_agent_id;
use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::span;
use mosaic_common::{CommandId, Refusal};
use std::time::Duration;

/// Longest reason of a kill in bytes: it stands in every event about it.
const REASON_MAX: usize = 256;

/// Longest grace of a kill: nobody waits longer, and a kill is not a wish.
const GRACE_MAX: Duration = Duration::from_secs(300);

impl Requests {
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
            None => self.agents().deps().stop_grace,
            Some(grace) => parse_grace(grace)?,
        };
        if let Some(record) = self
            .agents()
            .get(&agent)
            .await?
            .filter(|record| !caller.sees(record))
        {
            return Err(not_found(record.id()));
        }
        let (outcome, agent, detail) =
            told(&killswitch::kill(self.agents(), &agent, &order, grace).await?);
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
        let killed = killswitch::kill_all(self.agents(), &order).await;
        let site = self.agents().deps().journal.site();
        let results = killed.agents.into_iter().map(|(agent, killed)| {
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
            latched_in_memory: match killed.latch {
                Latched::Durably => Vec::new(),
                Latched::InMemory => vec![site.to_string()],
            },
        })
    }

    pub(super) async fn release(
        &self,
        caller: &Caller,
        command: CommandId,
        request: pb::ReleaseRequest,
    ) -> Result<pb::ReleaseResponse, Refusal> {
        self.check_site(&request.site)?;
        let was = killswitch::release(self.agents(), &order(caller, command, "")?).await?;
        let site = self.agents().deps().journal.site().to_string();
        Ok(pb::ReleaseResponse {
            released: was.then_some(site).into_iter().collect(),
            unreachable: Vec::new(),
        })
    }
}

/// Reads how long a kill may take; refuses what nobody waits for.
pub(crate) fn parse_grace(wire: prost_types::Duration) -> Result<Duration, Refusal> {
    let grace = span(&wire).ok_or_else(|| Refusal::invalid("grace", "must not be negative"))?;
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

/// What to add about an end that the store would not take.
fn unrecorded(record: &AgentRecord) -> String {
    if record.state.is_final() {
        return String::new();
    }
    "it was seen dead, but the store cannot be used, so its record does not say so yet".to_owned()
}

fn told(killed: &Killed) -> (pb::KillOutcome, Option<pb::Agent>, String) {
    let agent = |record: &AgentRecord| Some(record.into());
    match killed {
        Killed::Dead(record) => (pb::KillOutcome::Killed, agent(record), unrecorded(record)),
        Killed::AlreadyEnded(record) => {
            (pb::KillOutcome::AlreadyEnded, agent(record), String::new())
        }
        Killed::NeverStarted => (pb::KillOutcome::NeverStarted, None, String::new()),
        Killed::NotProved(record, why) => (pb::KillOutcome::NotProved, agent(record), why.clone()),
    }
}
