//! What is done to a world while something in it dies. Each scenario comes to its end whatever dies.

use crate::plan::{Ending, Plan};
use crate::world::{Uses, World};
use mosaic_common::CommandId;

/// One act.
#[derive(Debug, Clone)]
pub enum Step {
    /// From the next start on, the failpoint is armed; and that start is now.
    Arm,
    /// Start the victims so that they die at this failpoint first, and after that are armed.
    Ambush(&'static str),
    /// Ask for an agent.
    Spawn(Plan),
    /// Wait until its program has begun, or it is over.
    Begun(Plan),
    /// Wait until it is over.
    Ended(Plan),
    /// Kill it. The command's id.
    Kill(Plan, String),
    /// Kill all. The command's id.
    KillAll(String),
    /// Take the latch back. The command's id.
    Release(String),
    /// Let what begins with a start come to its end.
    Rest,
    /// Ask the spoke to stop, and start it again.
    Drain,
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// One agent completes, one fails, one is killed.
    Mixed,
    /// Agents run; the spoke dies, and dies again while it comes back.
    Recover,
    /// Everything is killed, then released.
    KillAll,
    /// An agent is killed before it is spawned.
    Bar,
    /// An agent without a repository.
    Plain,
    /// The first agent of a repository.
    Fresh,
    /// An agent leaves more than can be rescued.
    Quarantine,
    /// What such an agent left has been kept long enough.
    Expire,
    /// The hub dies with an answer that it has not written down, and dies again when it asks for it.
    Settle,
    /// A cache that nobody uses goes.
    Evict,
    /// The spoke is asked to stop while agents run.
    Drain,
    /// Agents in containers, with a network and without one.
    Docker,
    /// Agents in containers; the spoke dies, and dies again while it comes back.
    DockerRecover,
    /// The spoke dies with a container that was never told what to run, and dies again.
    DockerUntold,
}

impl Scenario {
    /// Those that reach a point are likely to be among the first.
    #[must_use]
    pub fn candidates(point: &str, docker: bool) -> Vec<Self> {
        let part = point.split('.').next().unwrap_or_default();
        let mut order = match part {
            "hub" => vec![Self::Mixed, Self::Settle],
            "gc" => vec![Self::Evict],
            "docker" => vec![Self::Docker, Self::DockerRecover],
            "kill" => vec![Self::KillAll, Self::Bar],
            "cache" | "results" => vec![Self::Fresh, Self::Mixed],
            "quarantine" => vec![Self::Quarantine, Self::Expire],
            "reconcile" | "recover" | "trash" => vec![Self::Recover, Self::Mixed],
            _ => vec![Self::Mixed, Self::Recover],
        };
        let rest = [
            Self::Mixed,
            Self::Recover,
            Self::KillAll,
            Self::Bar,
            Self::Plain,
            Self::Fresh,
            Self::Quarantine,
            Self::Expire,
            Self::Settle,
            Self::Evict,
            Self::Drain,
            Self::Docker,
            Self::DockerRecover,
            Self::DockerUntold,
        ];
        for scenario in rest {
            if !order.contains(&scenario) {
                order.push(scenario);
            }
        }
        order.retain(|scenario| docker || !scenario.uses(false).docker);
        order
    }

    /// What the spoke uses in it.
    #[must_use]
    pub fn uses(self, valkey: bool) -> Uses {
        Uses {
            docker: matches!(
                self,
                Self::Docker | Self::DockerRecover | Self::DockerUntold
            ),
            evicts: self == Self::Evict,
            valkey,
        }
    }

    /// Its steps.
    pub fn steps(self, world: &mut World) -> Vec<Step> {
        use Step::{Arm, Begun, Drain, Ended, Spawn};
        let [well, badly, never] = [Ending::Well, Ending::Badly, Ending::Never].map(Plan::new);
        match self {
            Self::Mixed => vec![
                Arm,
                Spawn(well.clone()),
                Spawn(badly.clone()),
                Spawn(never.clone()),
                Begun(never.clone()),
                kill(&never),
                Ended(well),
                Ended(badly),
                Ended(never),
            ],
            Self::Recover => vec![
                Spawn(never.clone()),
                Begun(never.clone()),
                Spawn(well.clone()),
                Arm,
                Ended(well),
                kill(&never),
                Ended(never),
            ],
            Self::KillAll => vec![
                Arm,
                Spawn(never.clone()),
                Spawn(badly.clone()),
                Begun(never.clone()),
                Step::KillAll(id()),
                Step::Release(id()),
                Ended(never),
                Ended(badly),
            ],
            Self::Bar => vec![Arm, kill(&never)],
            Self::Plain => {
                let [well, never] = [well, never].map(|plan| plan.on(String::new()));
                vec![
                    Arm,
                    Spawn(well.clone()),
                    Spawn(never.clone()),
                    Begun(never.clone()),
                    kill(&never),
                    Ended(well),
                    Ended(never),
                ]
            }
            Self::Fresh => {
                let well = well.on(world.fresh_repository());
                vec![Arm, Spawn(well.clone()), Ended(well)]
            }
            Self::Quarantine => {
                let much = Plan::new(Ending::TooMuch);
                vec![Arm, Spawn(much.clone()), Ended(much)]
            }
            Self::Expire => {
                let much = Plan::new(Ending::TooMuch);
                vec![Spawn(much.clone()), Ended(much), Arm, Step::Rest]
            }
            Self::Drain => vec![
                Arm,
                Spawn(never.clone()),
                Spawn(well.clone()),
                Begun(never.clone()),
                Drain,
                Ended(never),
                Ended(well),
            ],
            Self::Settle => vec![
                Step::Ambush("hub.answered"),
                Spawn(well.clone()),
                Ended(well),
                Step::Rest,
            ],
            Self::Evict => vec![Spawn(well.clone()), Ended(well), Arm, Step::Rest],
            Self::DockerUntold => {
                let well = well.within("docker");
                // The first one of a life is the one that the engine is tried out with.
                vec![
                    Step::Ambush("docker.attached:2"),
                    Spawn(well.clone()),
                    Ended(well),
                ]
            }
            Self::Docker => {
                let [well, never] = [well.online(), never].map(|plan| plan.within("docker"));
                vec![
                    Arm,
                    Spawn(well.clone()),
                    Spawn(never.clone()),
                    Begun(never.clone()),
                    kill(&never),
                    Ended(well),
                    Ended(never),
                ]
            }
            Self::DockerRecover => {
                let [well, never] = [well, never.online()].map(|plan| plan.within("docker"));
                vec![
                    Spawn(never.clone()),
                    Begun(never.clone()),
                    Spawn(well.clone()),
                    Arm,
                    Ended(well),
                    kill(&never),
                    Ended(never),
                ]
            }
        }
    }
}

fn kill(plan: &Plan) -> Step {
    Step::Kill(plan.clone(), id())
}

fn id() -> String {
    CommandId::random().to_string()
}
