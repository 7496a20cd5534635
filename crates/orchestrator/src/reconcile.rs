//! Finds what is there and should not be: a sandbox or a folder of an agent that has ended, or that
//! nobody knows.
//!
//! The order keeps it from harm: first what is there, then who lives, then the store. What came
//! after the first look is not looked at, and what was made has a record before it is there. An
//! orphan is only what the store positively says has ended, or positively does not know, at two
//! looks with a grace between them. Where anything cannot be read, nothing is concluded from it.
//! It only ever sees what carries this spoke's own labels, groups and folders, and it deletes
//! nothing itself: an orphan gets a record that says what is known, and ends as every agent does.

use crate::lifecycle::Agents;
use mosaic_common::agent::{AgentRecord, AgentState, Cause};
use mosaic_common::{AgentId, Alias, CommandId, in_full};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};

/// How often it looks. A look costs a few system calls and one question to each engine.
const EVERY: Duration = Duration::from_secs(5);

/// How long something must have been an orphan before it is ended: longer than any ending that is
/// under way takes from its record to its last step, short enough for two looks in half a minute.
const GRACE: Duration = Duration::from_secs(10);

/// Looks now and for ever.
pub async fn keep(agents: Agents) {
    let mut suspects = Suspects::default();
    loop {
        let found = look(&agents).await;
        for orphan in suspects.confirm(found, Instant::now()) {
            end(&agents, orphan).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Something that is there, and what the store says of it.
#[derive(Debug, Clone, PartialEq)]
struct Orphan {
    agent: AgentId,
    /// The sandbox it was seen in, if it was in one.
    sandbox: Option<Alias>,
    known: Known,
}

/// What the store says of an orphan.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    /// It has ended, and nothing of it should be there.
    Ended(Box<AgentRecord>),
    /// There is no such agent.
    Never,
}

/// Since when each orphan has been one.
#[derive(Debug, Default)]
struct Suspects(HashMap<AgentId, Instant>);

impl Suspects {
    /// Of what was found now, returns what has been there for the whole grace. What was not found
    /// again is forgotten.
    fn confirm(&mut self, found: Vec<Orphan>, now: Instant) -> Vec<Orphan> {
        let mut since = HashMap::new();
        let mut confirmed = Vec::new();
        for orphan in found {
            let first = self.0.get(&orphan.agent).copied().unwrap_or(now);
            if now.duration_since(first) >= GRACE {
                confirmed.push(orphan);
            } else {
                since.insert(orphan.agent.clone(), first);
            }
        }
        self.0 = since;
        confirmed
    }
}

/// What is there now and should not be.
async fn look(agents: &Agents) -> Vec<Orphan> {
    let there = inventory(agents).await;
    let mut orphans = Vec::new();
    for (agent, sandbox) in there {
        if agents.watch(&agent).is_some() {
            continue;
        }
        let known = match agents.deps().journal.get(&agent).await {
            Ok(Some(record)) if record.state.is_final() => Known::Ended(Box::new(record)),
            Ok(Some(_)) => continue, // it came alive since, or is about to
            Ok(None) => Known::Never,
            Err(error) => {
                error!(error = %in_full(&error), "the store cannot be read: nothing is cleaned up");
                return Vec::new();
            }
        };
        // It may have come alive while the store was read.
        if agents.watch(&agent).is_none() {
            orphans.push(Orphan {
                agent,
                sandbox,
                known,
            });
        }
    }
    orphans
}

/// Every agent of which something is there, and the sandbox it is in. What cannot be asked is
/// left out: then less is found, never more.
async fn inventory(agents: &Agents) -> BTreeMap<AgentId, Option<Alias>> {
    let deps = agents.deps();
    let mut there = BTreeMap::new();
    match deps.worktrees.list().await {
        Ok(list) => there.extend(list.into_iter().map(|agent| (agent, None))),
        Err(error) => warn!(error = %in_full(&error), "the worktrees cannot be listed"),
    }
    for sandbox in deps.sandboxes.usable() {
        match sandbox.list().await {
            Ok(list) => there.extend(list.into_iter().map(|agent| (agent, Some(sandbox.name())))),
            Err(error) => {
                warn!(sandbox = %sandbox.name(), error = %in_full(&error), "a sandbox cannot be listed");
            }
        }
    }
    there
}

/// Ends an orphan as every agent ends. One without a record gets one: whoever asks for it learns
/// what became of it, and its work is found under its id.
async fn end(agents: &Agents, orphan: Orphan) {
    warn!(agent.id = %orphan.agent, known = ?orphan.known, "ending what nobody follows");
    let record = match orphan.known {
        Known::Ended(record) => *record,
        Known::Never => match stranger(agents, &orphan.agent, orphan.sandbox).await {
            Ok(record) => record,
            Err(why) => {
                error!(agent.id = %orphan.agent, %why, "left alone");
                return;
            }
        },
    };
    agents.take_up(record);
}

/// The record of an agent that the store does not know, made durable.
async fn stranger(
    agents: &Agents,
    agent: &AgentId,
    sandbox: Option<Alias>,
) -> Result<AgentRecord, String> {
    let deps = agents.deps();
    let repository = deps.worktrees.origin(agent).await;
    let detail = "the spoke's store has no record of it".to_owned();
    let lost = (AgentState::Stopping, Cause::Lost { detail });
    let record = deps.journal.unasked(agent, CommandId::random(), lost);
    let mut record = record.map_err(|error| error.to_string())?;
    record.spec.repository = repository.map_err(|error| in_full(&error))?;
    record.spec.sandbox = sandbox;
    match deps.journal.create(&record).await {
        Ok(crate::journal::Created::New) => Ok(record),
        Ok(crate::journal::Created::Found(_)) => Err("it came alive".to_owned()),
        Err(error) => Err(in_full(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan() -> Orphan {
        Orphan {
            agent: AgentId::of_command(CommandId::random()),
            sandbox: None,
            known: Known::Never,
        }
    }

    #[test]
    fn an_orphan_is_ended_only_after_it_was_one_for_the_whole_grace() {
        let (mut suspects, orphan, start) = (Suspects::default(), orphan(), Instant::now());
        for seconds in [0, 5, 9] {
            let now = start + Duration::from_secs(seconds);
            assert!(suspects.confirm(vec![orphan.clone()], now).is_empty());
        }
        let now = start + GRACE;
        assert_eq!(suspects.confirm(vec![orphan.clone()], now), [orphan]);
    }

    #[test]
    fn what_was_gone_in_between_begins_anew() {
        let (mut suspects, orphan, start) = (Suspects::default(), orphan(), Instant::now());
        suspects.confirm(vec![orphan.clone()], start);
        suspects.confirm(Vec::new(), start + EVERY);
        assert!(suspects.confirm(vec![orphan], start + GRACE).is_empty());
    }
}
