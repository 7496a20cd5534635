//! How agents and their events look in Valkey. Other programs depend on it: `docs/valkey.md`
//! describes each key. Pure; when and where it is written is the store's business.

use jiff::Timestamp;
use mosaic_common::agent::{
    AgentRecord, AgentState, Cause, CleanupReport, Event, EventType, Outcome, Step,
};
use mosaic_common::{AgentId, Alias, TaskId};
use mosaic_store::Cause as Fault;
use mosaic_store::valkey::{Told, View};
use serde::Serialize;
use std::collections::BTreeMap;

/// How the agents of one site look in Valkey.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// The site.
    pub site: Alias,
}

impl View for AgentView {
    fn event(&self, sequence: u64, event: &[u8]) -> Result<Told, Fault> {
        let event: Event = serde_json::from_slice(event)?;
        let cleanup = event.cleanup.as_ref();
        let entry = Entry {
            r#type: event.r#type.as_str(),
            agent_id: &event.agent_id,
            task_id: &event.task_id,
            timestamp: event.timestamp,
            sequence,
            site: &self.site,
            state: event.state,
            cause: event.cause.as_ref(),
            cleanup: cleanup.map(|report| Cleanup::of(report, event.state)),
            detail: cleanup.map(|report| details(report, event.state)),
            rescue_commit: cleanup.and_then(|report| report.rescue_commit.as_deref()),
        };
        Ok(Told {
            json: serde_json::to_string(&entry)?,
            row: event.agent_id.to_string(),
            is_end: event.r#type == EventType::Cleanup,
        })
    }

    fn gap(&self, first: u64, last: u64) -> String {
        let site = &self.site;
        // Names and numbers only: nothing to escape, nothing that can fail.
        format!(
            r#"{{"type":"mosaic.gap","site":"{site}","sequence":{last},"from":{first},"to":{last}}}"#
        )
    }

    fn live(&self, row: &[u8]) -> Result<Option<String>, Fault> {
        let record: AgentRecord = serde_json::from_slice(row)?;
        if record.state.is_final() {
            return Ok(None);
        }
        let live = Live {
            agent_id: record.id(),
            task_id: &record.spec.task_id,
            site: &record.site,
            state: record.state,
            cause: record.cause.as_ref(),
            repository: record.spec.repository.as_ref(),
            profile: record.spec.profile.as_ref(),
            sandbox: record.spec.sandbox.as_ref(),
            connection: record.connection.as_ref(),
            labels: &record.spec.labels,
            created: record.created,
            started: record.started,
        };
        Ok(Some(serde_json::to_string(&live)?))
    }
}

/// An entry of the stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    r#type: &'static str,
    agent_id: &'a AgentId,
    task_id: &'a TaskId,
    timestamp: Timestamp,
    sequence: u64,
    site: &'a Alias,
    state: AgentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup: Option<Cleanup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rescue_commit: Option<&'a str>,
}

/// What an ending removed: true for what is gone, whoever removed it.
#[derive(Serialize)]
struct Cleanup {
    /// The sandbox, whatever kind it is of.
    docker: bool,
    worktree: bool,
    /// The live key.
    state: bool,
}

impl Cleanup {
    fn of(report: &CleanupReport, now: AgentState) -> Self {
        let is_done = |step: &Step| match step.outcome {
            Outcome::Done => true,
            Outcome::Skipped | Outcome::Failed => false,
        };
        Self {
            docker: is_done(&report.sandbox),
            worktree: is_done(&report.worktree),
            state: is_done(&report.state) && now.is_final(),
        }
    }
}

/// Each step that was not done: whether it was skipped or failed, and why.
fn details(report: &CleanupReport, now: AgentState) -> BTreeMap<&'static str, String> {
    let steps = [
        ("docker", &report.sandbox),
        ("rescue", &report.rescue),
        ("worktree", &report.worktree),
        ("state", &report.state),
    ];
    let mut said: BTreeMap<_, _> = steps
        .into_iter()
        .filter_map(|(name, step)| match step.outcome {
            Outcome::Done => None,
            Outcome::Skipped => Some((name, format!("skipped: {}", step.detail))),
            Outcome::Failed => Some((name, format!("failed: {}", step.detail))),
        })
        .collect();
    if !now.is_final() {
        said.entry("state")
            .or_insert_with(|| "skipped: it has not ended".to_owned());
    }
    said
}

/// The value of a live key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Live<'a> {
    agent_id: &'a AgentId,
    task_id: &'a TaskId,
    site: &'a Alias,
    state: AgentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<&'a Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<&'a Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a Alias>,
    labels: &'a BTreeMap<String, String>,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
