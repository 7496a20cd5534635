//! The lifecycle's policy against a world that does what it decides, a million steps long: spawns,
//! retries, kills, ends and restarts in any order. `MOSAIC_MODEL_STEPS` and `MOSAIC_MODEL_SEED`
//! change the walk.

use mosaic_common::agent::{AgentRecord, AgentState, Cause, Limits, Spec};
use mosaic_common::{AgentId, CommandId, Reason};
use orchestrator::lifecycle::policy::{self, Barred, Decision, Request};
use std::collections::BTreeMap;

/// Agents in play at a time: few, so that requests meet.
const AGENTS: usize = 16;

/// Steps after which an agent gives its place to a new one.
const LIFE: u64 = 200;

/// One agent, as its record stands and as the world saw it.
struct Agent {
    id: AgentId,
    record: Option<AgentRecord>,
    /// How often a sandbox was made for it.
    starts: u32,
    /// Whether a program of it runs now.
    runs: bool,
    /// The first final state it was seen in.
    ended: Option<AgentState>,
    asked: u64,
}

impl Agent {
    fn new() -> Self {
        Self {
            id: AgentId::of_command(CommandId::random()),
            record: None,
            starts: 0,
            runs: false,
            ended: None,
            asked: 0,
        }
    }

    fn state(&self) -> Option<AgentState> {
        self.record.as_ref().map(|record| record.state)
    }

    fn set(&mut self, state: AgentState) {
        if let Some(record) = &mut self.record {
            record.state = state;
        }
    }

    fn barred(&self) -> Barred {
        self.record.as_ref().map_or(Barred::No, Barred::of)
    }

    /// What must hold after every step.
    fn check(&mut self) {
        assert!(self.starts <= 1, "one sandbox per command");
        if let Some(state) = self.state().filter(|state| state.is_final()) {
            assert!(!self.runs, "{state:?}, yet it runs");
            let first = *self.ended.get_or_insert(state);
            assert_eq!(state, first, "a final state never changes");
        } else {
            assert!(self.ended.is_none(), "what has ended stays ended");
        }
        if self.barred() == Barred::Yes {
            assert_eq!(self.starts, 0, "what was barred never starts");
        }
    }
}

fn record(agent: &AgentId, command: CommandId, task: &str) -> AgentRecord {
    AgentRecord {
        spec: Spec {
            agent_id: agent.clone(),
            task_id: "t".parse().unwrap(),
            repository: None,
            base_ref: None,
            profile: None,
            sandbox: None,
            task: task.to_owned(),
            limits: Limits::default(),
            labels: BTreeMap::new(),
        },
        site: "here".parse().unwrap(),
        state: AgentState::Queued,
        cause: None,
        connection: None,
        command_id: command,
        created: jiff::Timestamp::UNIX_EPOCH,
        started: None,
        ended: None,
        cleanup: None,
        usage: None,
    }
}

/// Xorshift: the same walk for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// The same command again, sometimes with another task, sometimes another command of the same id.
fn spawn(agent: &mut Agent, commands: &[CommandId; 2], random: &mut Random) {
    let command = commands[usize::from(random.below(10) == 0)];
    let task = if random.below(10) == 0 {
        "other"
    } else {
        "task"
    };
    let wanted = record(&agent.id, command, task);
    match policy::decide(agent.state(), agent.barred(), Request::Spawn) {
        Decision::Start => {
            assert!(agent.record.is_none());
            agent.record = Some(wanted);
        }
        decision => {
            let there = agent
                .record
                .as_ref()
                .expect("only what is there is kept or refused");
            let answer = policy::retry(there, &wanted).map_err(|refusal| refusal.reason);
            let expected = if agent.barred() == Barred::Yes {
                assert_eq!(decision, Decision::Refuse);
                Err(Reason::AgentBarred)
            } else if there.command_id != wanted.command_id {
                Err(Reason::AgentExists)
            } else if there.spec != wanted.spec {
                Err(Reason::CommandConflict)
            } else {
                Ok(())
            };
            assert_eq!(answer, expected);
        }
    }
}

fn kill(agent: &mut Agent, command: CommandId) {
    match policy::decide(agent.state(), agent.barred(), Request::Kill) {
        Decision::Bar => {
            let mut barred = record(&agent.id, command, "");
            barred.state = AgentState::Killed;
            barred.cause = Some(Cause::Barred { by: "test".into() });
            agent.record = Some(barred);
        }
        Decision::End => {
            agent.runs = false;
            agent.set(AgentState::Killed);
        }
        Decision::Keep => assert!(agent.state().is_some_and(AgentState::is_final)),
        Decision::Start | Decision::Refuse => panic!("a kill starts and refuses nothing"),
    }
}

/// The agent's task goes one step on.
fn go_on(agent: &mut Agent, random: &mut Random) {
    match agent.state() {
        Some(AgentState::Queued) => agent.set(AgentState::Spawning),
        Some(AgentState::Spawning) => {
            // As a sandbox does: what a crashed life has started is found, not started again.
            if !agent.runs {
                agent.starts += 1;
                agent.runs = true;
            }
            // A crash may come between the start and the record of it.
            if random.below(3) > 0 {
                agent.set(AgentState::Running);
            }
        }
        Some(AgentState::Running) => {
            agent.runs = false;
            agent.set(AgentState::Stopping);
        }
        Some(AgentState::Stopping) => {
            let ends = [AgentState::Completed, AgentState::Failed];
            agent.set(ends[random.below(2)]);
        }
        Some(AgentState::Completed | AgentState::Failed | AgentState::Killed) | None => {}
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn a_million_steps_of_the_policy_start_nothing_twice_and_end_nothing_twice() {
    let mut random = Random(number("MOSAIC_MODEL_SEED", 0x5eed).max(1));
    let mut agents: Vec<_> = (0..AGENTS).map(|_| Agent::new()).collect();
    let mut commands: Vec<_> = (0..AGENTS)
        .map(|_| [CommandId::random(), CommandId::random()])
        .collect();
    let (mut barred, mut ended) = (0, 0);
    for _ in 0..number("MOSAIC_MODEL_STEPS", 1_000_000) {
        let place = random.below(AGENTS);
        let agent = &mut agents[place];
        match random.below(10) {
            0..=3 => spawn(agent, &commands[place], &mut random),
            4 => kill(agent, CommandId::random()),
            _ => go_on(agent, &mut random),
        }
        agent.check();
        agent.asked += 1;
        if agent.asked > LIFE {
            barred += u64::from(agent.barred() == Barred::Yes);
            ended += u64::from(agent.starts == 1);
            *agent = Agent::new();
            commands[place] = [CommandId::random(), CommandId::random()];
        }
    }
    assert!(barred > 0 && ended > 0, "the walk went everywhere");
}
