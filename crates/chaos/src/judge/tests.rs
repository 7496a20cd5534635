//! Each disagreement, planted once.

use super::judge;
use crate::finding::Fault;
use crate::seen::{Kind, Thing};
use crate::told::Told;
use mosaic_common::proto::agent::v1::AgentState;

const AGENT: &str = "ag_k3v6m2qwz7xn4t5bhyaojr2ecd";

fn told(state: AgentState) -> Told {
    let is_final = matches!(
        state,
        AgentState::Completed | AgentState::Failed | AgentState::Killed
    );
    Told {
        agent: AGENT.to_owned(),
        state,
        sandbox: "bubblewrap".to_owned(),
        is_clean: is_final,
        rescue: None,
        is_quarantined: false,
        failed: Vec::new(),
    }
}

fn faults(things: &[Thing], told: &[Told]) -> Vec<Fault> {
    let findings = judge(things, told);
    findings.into_iter().map(|finding| finding.fault).collect()
}

#[test]
fn whatever_is_left_of_an_agent_that_is_over_or_unknown_is_found() {
    let kinds = [
        Kind::Container,
        Kind::Supervisor,
        Kind::Namespace,
        Kind::Group,
        Kind::Mount,
        Kind::Worktree,
        Kind::RunFolder,
        Kind::Trash,
        Kind::Pin,
        Kind::Key,
        Kind::Member,
    ];
    for kind in kinds {
        let thing = [Thing::of(kind, AGENT, "running")];
        assert_eq!(
            faults(&thing, &[told(AgentState::Killed)]),
            [Fault::Leak],
            "{kind:?}"
        );
        assert_eq!(faults(&thing, &[]), [Fault::Leak], "{kind:?}");
        assert_eq!(
            faults(&thing, &[told(AgentState::Stopping)]).len(),
            usize::from(kind == Kind::Key)
        );
    }
}

#[test]
fn output_stays_as_long_as_its_agent_is_known() {
    let output = [Thing::of(Kind::Output, AGENT, "output")];
    assert_eq!(faults(&output, &[told(AgentState::Completed)]), []);
    assert_eq!(faults(&output, &[]), [Fault::Leak]);
}

#[test]
fn what_is_in_quarantine_stays_as_long_as_that_is_told() {
    let kept = [
        Thing::of(Kind::Quarantine, AGENT, "quarantine"),
        Thing::of(Kind::Pin, AGENT, "pin"),
    ];
    let mut agent = told(AgentState::Failed);
    assert_eq!(faults(&kept, &[agent.clone()]), [Fault::Leak, Fault::Leak]);
    agent.is_quarantined = true;
    assert_eq!(faults(&kept, &[agent.clone()]), []);
    assert_eq!(faults(&[], &[agent]), [Fault::Lost]);
}

#[test]
fn what_belongs_to_nobody_is_found() {
    for kind in [
        Kind::Draft,
        Kind::Lock,
        Kind::Volume,
        Kind::Network,
        Kind::Trash,
    ] {
        let thing = [Thing::new(kind, "something")];
        assert_eq!(faults(&thing, &[]), [Fault::Leak], "{kind:?}");
    }
}

#[test]
fn a_process_of_an_agent_that_is_said_to_be_dead_makes_that_untrue() {
    let process = [Thing::of(Kind::Process, AGENT, "process 7")];
    for state in [
        AgentState::Completed,
        AgentState::Failed,
        AgentState::Killed,
    ] {
        assert_eq!(faults(&process, &[told(state)]), [Fault::Untrue]);
    }
    assert_eq!(faults(&process, &[told(AgentState::Running)]), []);
    assert_eq!(faults(&process, &[]), [Fault::Leak]);
}

#[test]
fn running_is_untrue_without_a_process() {
    assert_eq!(faults(&[], &[told(AgentState::Running)]), [Fault::Untrue]);
}

#[test]
fn two_of_what_there_may_be_one_of_are_found() {
    for kind in [Kind::Container, Kind::Supervisor, Kind::Namespace] {
        let things = [
            Thing::of(Kind::Process, AGENT, "process 7"),
            Thing::of(kind, AGENT, "one"),
            Thing::of(kind, AGENT, "another"),
        ];
        assert_eq!(
            faults(&things, &[told(AgentState::Running)]),
            [Fault::Duplicate]
        );
    }
}

#[test]
fn valkey_must_agree_about_the_state() {
    let process = Thing::of(Kind::Process, AGENT, "process 7");
    let agrees = [process.clone(), Thing::of(Kind::Key, AGENT, "running")];
    assert_eq!(faults(&agrees, &[told(AgentState::Running)]), []);
    let differs = [process, Thing::of(Kind::Key, AGENT, "queued")];
    assert_eq!(
        faults(&differs, &[told(AgentState::Running)]),
        [Fault::Untrue]
    );
}

#[test]
fn an_ending_that_is_not_clean_is_no_rest() {
    let mut half = told(AgentState::Failed);
    half.is_clean = false;
    half.failed = vec!["worktree: kept".to_owned()];
    assert_eq!(faults(&[], &[half]), [Fault::Unsettled]);
}
