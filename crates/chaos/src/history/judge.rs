//! What must hold of a history, whoever died in it. Pure.

use super::{Entry, What, final_state};
use crate::finding::{Fault, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// Every breach of what was promised to clients.
#[must_use]
pub fn judge(entries: &[Entry]) -> Vec<Finding> {
    let mut findings = one_agent_for_each_command(entries);
    findings.extend(dead_when_said_so(entries));
    findings.extend(ends_are_ends(entries));
    findings.extend(streams(entries));
    findings.extend(runs_once(entries));
    findings.sort();
    findings.dedup();
    findings
}

/// The same command always tells of the same agent.
fn one_agent_for_each_command(entries: &[Entry]) -> Vec<Finding> {
    let mut agents: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in entries {
        if let What::Spawned { command, agent } = &entry.what {
            agents.entry(command).or_default().insert(agent);
        }
    }
    let several = agents.into_iter().filter(|(_, agents)| agents.len() > 1);
    several
        .map(|(command, agents)| {
            let what = format!("command {command} made {agents:?}");
            Finding::new(Fault::Duplicate, None, what)
        })
        .collect()
}

/// Of whom an end is told, no process is there any more.
fn dead_when_said_so(entries: &[Entry]) -> Vec<Finding> {
    let lives = entries.iter().filter_map(|entry| match &entry.what {
        What::Killed {
            agent,
            outcome,
            alive,
        } if *alive > 0 && outcome == "killed" => Some((agent, alive)),
        What::Status {
            agent,
            is_final: true,
            alive,
            ..
        } if *alive > 0 => Some((agent, alive)),
        _ => None,
    });
    lives
        .map(|(agent, alive)| {
            let what = format!("told to have ended while {alive} processes of it lived");
            Finding::new(Fault::Untrue, Some(agent), what)
        })
        .collect()
}

/// Nobody comes back from a final state, and there is one for each agent.
fn ends_are_ends(entries: &[Entry]) -> Vec<Finding> {
    let mut ends: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Status {
                agent,
                state,
                is_final: true,
                ..
            } => {
                ends.entry(agent).or_default().insert(state.clone());
                let since = known.entry(agent).or_insert(entry.ended);
                *since = entry.ended.min(*since);
            }
            What::Event { agent, kind, .. } => {
                let end = final_state(kind);
                ends.entry(agent).or_default().extend(end);
            }
            _ => {}
        }
    }
    let several = ends.iter().filter(|(_, ends)| ends.len() > 1);
    let mut findings: Vec<Finding> = several
        .map(|(agent, ends)| {
            let what = format!("several ends were told: {ends:?}");
            Finding::new(Fault::Untrue, Some(agent), what)
        })
        .collect();
    for entry in entries {
        let What::Status {
            agent,
            state,
            is_final: false,
            ..
        } = &entry.what
        else {
            continue;
        };
        if known
            .get(&**agent)
            .is_some_and(|since| entry.begun > *since)
        {
            let what = format!("told to be {state} after its end had been told");
            findings.push(Finding::new(Fault::Untrue, Some(agent), what));
        }
    }
    findings
}

/// Each client's stream goes on where it was, with no event missing or twice unless it is said.
fn streams(entries: &[Entry]) -> Vec<Finding> {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    let mut findings = Vec::new();
    for entry in entries {
        let client = entry.client;
        let (first, next) = match &entry.what {
            What::Opened { after } => {
                last.insert(client, *after);
                continue;
            }
            What::Event { sequence, .. } => (*sequence, *sequence),
            What::Gap { first, last } => (*first, *last),
            _ => continue,
        };
        let before = last.insert(client, next).unwrap_or_default();
        if first != before + 1 {
            let what = format!("client {client}: {first} came after {before}");
            let fault = if first > before {
                Fault::Lost
            } else {
                Fault::Duplicate
            };
            findings.push(Finding::new(fault, None, what));
        }
    }
    findings
}

/// No agent is told to begin running at two positions of the log.
fn runs_once(entries: &[Entry]) -> Vec<Finding> {
    let mut begun: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for entry in entries {
        if let What::Event {
            sequence,
            agent,
            kind,
        } = &entry.what
            && kind == "agent.running"
        {
            begun.entry(agent).or_default().insert(*sequence);
        }
    }
    let twice = begun.into_iter().filter(|(_, at)| at.len() > 1);
    twice
        .map(|(agent, at)| {
            let what = format!("told to be running at {at:?}");
            Finding::new(Fault::Duplicate, Some(agent), what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::finding::Fault;
    use crate::history::{Entry, What};

    fn faults(whats: Vec<What>) -> Vec<Fault> {
        let entries: Vec<Entry> = (0..)
            .zip(whats)
            .map(|(at, what)| Entry {
                begun: 10 * at,
                ended: 10 * at + 5,
                client: 1,
                what,
            })
            .collect();
        let findings = judge(&entries);
        findings.into_iter().map(|finding| finding.fault).collect()
    }

    fn event(sequence: u64, kind: &str) -> What {
        What::Event {
            sequence,
            agent: "a".to_owned(),
            kind: kind.to_owned(),
        }
    }

    fn status(state: &str, is_final: bool, alive: usize) -> What {
        What::Status {
            agent: "a".to_owned(),
            state: state.to_owned(),
            is_final,
            alive,
        }
    }

    #[test]
    fn a_stream_without_gap_and_repetition_is_well_also_over_a_reconnection() {
        let well = vec![
            What::Opened { after: 0 },
            event(1, "agent.queued"),
            event(2, "agent.running"),
            What::Opened { after: 2 },
            What::Gap { first: 3, last: 7 },
            event(8, "agent.killed"),
        ];
        assert_eq!(faults(well), []);
    }

    #[test]
    fn a_repeated_sequence_is_found() {
        let twice = vec![
            event(1, "agent.queued"),
            What::Opened { after: 1 },
            event(1, "agent.queued"),
        ];
        assert_eq!(faults(twice), [Fault::Duplicate]);
    }

    #[test]
    fn a_sequence_that_is_left_out_is_found() {
        assert_eq!(
            faults(vec![event(1, "agent.queued"), event(3, "agent.killed")]),
            [Fault::Lost]
        );
    }

    #[test]
    fn a_gap_that_does_not_begin_where_the_stream_was_is_found() {
        let gap = vec![event(1, "agent.queued"), What::Gap { first: 3, last: 4 }];
        assert_eq!(faults(gap), [Fault::Lost]);
    }

    #[test]
    fn a_command_that_makes_two_agents_is_found() {
        let spawned = |agent: &str| What::Spawned {
            command: "c".to_owned(),
            agent: agent.to_owned(),
        };
        assert_eq!(faults(vec![spawned("a"), spawned("a")]), []);
        assert_eq!(faults(vec![spawned("a"), spawned("b")]), [Fault::Duplicate]);
    }

    #[test]
    fn killed_is_untrue_while_a_process_lives() {
        let killed = |alive| What::Killed {
            agent: "a".to_owned(),
            outcome: "killed".to_owned(),
            alive,
        };
        assert_eq!(faults(vec![killed(0)]), []);
        assert_eq!(faults(vec![killed(1)]), [Fault::Untrue]);
        assert_eq!(faults(vec![status("killed", true, 2)]), [Fault::Untrue]);
    }

    #[test]
    fn an_end_that_changes_or_is_taken_back_is_found() {
        let well = vec![status("running", false, 0), status("killed", true, 0)];
        assert_eq!(faults(well), []);
        let back = vec![status("killed", true, 0), status("running", false, 0)];
        assert_eq!(faults(back), [Fault::Untrue]);
        let other = vec![status("killed", true, 0), status("failed", true, 0)];
        assert_eq!(faults(other), [Fault::Untrue]);
        let told = vec![status("killed", true, 0), event(1, "agent.failed")];
        assert_eq!(faults(told), [Fault::Untrue]);
    }

    #[test]
    fn an_agent_that_begins_to_run_twice_is_found() {
        let twice = vec![event(1, "agent.running"), event(2, "agent.running")];
        assert_eq!(faults(twice), [Fault::Duplicate]);
    }
}
