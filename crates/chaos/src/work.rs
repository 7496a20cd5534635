//! Whether the work of agents is where it was promised to be: in their rescue refs, whole.

use crate::finding::{Fault, Finding};
use crate::seen::{Rescued, rescued};
use crate::told::Told;
use anyhow::Result;
use mosaic_common::proto::agent::v1::AgentState;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What an agent was seen to do by somebody who is neither the spoke nor the agent's sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Promise {
    /// Which agent.
    pub agent: String,
    /// How often its program began.
    pub begun: usize,
    /// Files it had written: their paths and what is in them.
    pub files: Vec<(String, String)>,
    /// Commits it had made, hexadecimal.
    pub commits: Vec<String>,
    /// Whether its program had come to its good end.
    pub done: bool,
}

/// Which agents' work is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every agent's that is told of.
    All,
    /// Only those' of which there is a promise.
    Promised,
}

/// Every piece of work that is not where it should be, and every program that began twice.
///
/// # Errors
/// If git cannot be run.
pub fn judge(
    data: &Path,
    told: &[Told],
    promises: &[Promise],
    scope: Scope,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for told in told.iter().filter(|told| told.is_over()) {
        let promise = promises.iter().find(|of| of.agent == told.agent);
        if promise.is_none() && scope == Scope::Promised {
            continue;
        }
        let promise = promise.cloned().unwrap_or_default();
        if told.rescue.is_none() && promise.files.is_empty() && promise.commits.is_empty() {
            continue;
        }
        let found = rescued(data, &told.agent)?;
        findings.extend(one(told, &promise, found.as_ref()));
    }
    findings.extend(promises.iter().filter_map(twice));
    findings.extend(promises.iter().filter_map(|promise| unknown(promise, told)));
    findings.extend(told.iter().filter_map(|told| too_good(told, promises)));
    Ok(findings)
}

fn one(told: &Told, promise: &Promise, found: Option<&Rescued>) -> Vec<Finding> {
    let finding = |fault, what: String| Finding::new(fault, Some(&told.agent), what);
    let Some(found) = found else {
        let what = format!("no rescue ref, although it wrote {:?}", promise.files);
        let fault = if told.rescue.is_some() {
            Fault::Untrue
        } else {
            Fault::Lost
        };
        return vec![finding(fault, what)];
    };
    let mut findings = Vec::new();
    if told.rescue.as_ref() != Some(&found.commit) {
        let what = format!("told {:?}, but its ref is at {}", told.rescue, found.commit);
        findings.push(finding(Fault::Untrue, what));
    }
    if !found.is_whole {
        let what = format!("objects of {} are missing", found.commit);
        findings.push(finding(Fault::Lost, what));
    }
    for (path, content) in &promise.files {
        let kept = found.file(path);
        if kept.as_ref() != Some(content) {
            let what = format!("{path} should hold {content:?}, and holds {kept:?}");
            findings.push(finding(Fault::Lost, what));
        }
    }
    for commit in promise.commits.iter().filter(|commit| !found.holds(commit)) {
        findings.push(finding(
            Fault::Lost,
            format!("its commit {commit} is not in the rescue"),
        ));
    }
    findings
}

fn twice(promise: &Promise) -> Option<Finding> {
    let what = format!("its program began {} times", promise.begun);
    (promise.begun > 1).then(|| Finding::new(Fault::Duplicate, Some(&promise.agent), what))
}

fn unknown(promise: &Promise, told: &[Told]) -> Option<Finding> {
    let known = told.iter().any(|told| told.agent == promise.agent);
    let what = "it ran, and the spoke does not know it";
    (!known).then(|| Finding::new(Fault::Untrue, Some(&promise.agent), what))
}

/// An agent that is said to have completed, of which there is a promise that says otherwise.
fn too_good(told: &Told, promises: &[Promise]) -> Option<Finding> {
    let promise = promises.iter().find(|of| of.agent == told.agent)?;
    let is_so = told.state != AgentState::Completed || promise.done;
    let what = "said to have completed, but its program did not come to its end";
    (!is_so).then(|| Finding::new(Fault::Untrue, Some(&told.agent), what))
}
