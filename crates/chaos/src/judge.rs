//! Holds what is seen against what is told. Pure.

use crate::finding::{Fault, Finding};
use crate::seen::{Kind, Thing};
use crate::told::Told;
use mosaic_common::proto::agent::v1::AgentState;
use std::collections::BTreeMap;

/// Whether anything of an agent may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// The spoke never heard of it.
    Unknown,
    /// It has not ended, or its ending is not done.
    Open,
    /// It is over.
    Over,
}

/// Every disagreement between what exists and what the spoke tells.
#[must_use]
pub fn judge(things: &[Thing], told: &[Told]) -> Vec<Finding> {
    let told: BTreeMap<&str, &Told> = told.iter().map(|told| (&*told.agent, told)).collect();
    let mut findings: Vec<Finding> = things
        .iter()
        .filter_map(|thing| thing_alone(thing, &told, things))
        .collect();
    findings.extend(doubles(things));
    for told in told.values() {
        findings.extend(running_without_a_process(told, things));
        findings.extend(kept_nowhere(told, things));
        if told.is_final() && !told.is_clean {
            let what = format!("ended, but not clean: {}", told.failed.join("; "));
            findings.push(Finding::new(Fault::Unsettled, Some(&told.agent), what));
        }
    }
    findings.sort();
    findings
}

fn thing_alone(thing: &Thing, told: &BTreeMap<&str, &Told>, all: &[Thing]) -> Option<Finding> {
    let agent = thing.agent.as_deref();
    let said = agent.and_then(|agent| told.get(agent));
    let life = match said {
        None => Life::Unknown,
        Some(said) if said.is_over() => Life::Over,
        Some(_) => Life::Open,
    };
    let leak = |why: &str| {
        let what = format!("{:?} {} {why}", thing.kind, thing.place);
        Some(Finding::new(Fault::Leak, agent, what))
    };
    match thing.kind {
        Kind::Process => match (life, said) {
            (Life::Over, Some(said)) => {
                let what = format!("said to be {}, but {} lives", name(said.state), thing.place);
                Some(Finding::new(Fault::Untrue, agent, what))
            }
            (Life::Unknown | Life::Over, _) => leak("of an agent that the spoke does not know"),
            (Life::Open, _) => None,
        },
        Kind::Network if all.iter().any(|of| of.kind == Kind::Container) => None,
        Kind::Network => leak("without any container"),
        Kind::Volume => leak("which nobody makes"),
        Kind::Draft | Kind::Lock => leak("although nothing happens"),
        Kind::Key if life == Life::Open => {
            let state = said.map(|said| name(said.state)).unwrap_or_default();
            (state != thing.place).then(|| {
                let what = format!("valkey tells {}, the spoke {state}", thing.place);
                Finding::new(Fault::Untrue, agent, what)
            })
        }
        Kind::Quarantine | Kind::Pin if said.is_some_and(|said| said.is_quarantined) => None,
        Kind::Output if life == Life::Over => None, // kept until retention ends
        Kind::Container
        | Kind::Supervisor
        | Kind::Namespace
        | Kind::Group
        | Kind::Mount
        | Kind::Worktree
        | Kind::RunFolder
        | Kind::Output
        | Kind::Quarantine
        | Kind::Trash
        | Kind::Pin
        | Kind::Key
        | Kind::Member => match life {
            Life::Unknown => leak("of an agent that the spoke does not know"),
            Life::Over => leak("of an agent that is over"),
            Life::Open => None,
        },
    }
}

/// What an agent may have one of, and has more of.
fn doubles(things: &[Thing]) -> Vec<Finding> {
    let mut counts: BTreeMap<(Kind, &str), usize> = BTreeMap::new();
    for thing in things {
        let single = matches!(
            thing.kind,
            Kind::Container | Kind::Supervisor | Kind::Namespace
        );
        if let (true, Some(agent)) = (single, &thing.agent) {
            *counts.entry((thing.kind, agent)).or_default() += 1;
        }
    }
    let double = counts.into_iter().filter(|(_, count)| *count > 1);
    double
        .map(|((kind, agent), count)| {
            Finding::new(
                Fault::Duplicate,
                Some(agent),
                format!("{count} of {kind:?}"),
            )
        })
        .collect()
}

fn running_without_a_process(told: &Told, things: &[Thing]) -> Option<Finding> {
    if told.state != AgentState::Running {
        return None;
    }
    let lives = things
        .iter()
        .any(|thing| thing.kind == Kind::Process && thing.agent.as_ref() == Some(&told.agent));
    (!lives).then(|| {
        let what = "said to be running, but no process of it lives";
        Finding::new(Fault::Untrue, Some(&told.agent), what)
    })
}

fn kept_nowhere(told: &Told, things: &[Thing]) -> Option<Finding> {
    let is_it = |of: &Thing| of.kind == Kind::Quarantine && of.agent.as_ref() == Some(&told.agent);
    let what = "said to be in quarantine, and is not";
    let is_lost = told.is_quarantined && !things.iter().any(is_it);
    is_lost.then(|| Finding::new(Fault::Lost, Some(&told.agent), what))
}

/// A state's word, as events and Valkey have it.
#[must_use]
pub fn name(state: AgentState) -> String {
    let name = state.as_str_name();
    name.trim_start_matches("AGENT_STATE_").to_lowercase()
}

#[cfg(test)]
mod tests;
