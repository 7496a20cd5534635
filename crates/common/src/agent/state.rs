//! Where an agent is in its life, and why it ended.

use super::Fault;
use serde::{Deserialize, Serialize};

/// Where an agent is in its life.
///
/// ```text
/// queued → spawning → running → stopping → completed | failed | killed
///    └─────────┴──────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Accepted, waiting for a free place.
    Queued,
    /// Its worktree and sandbox are being made.
    Spawning,
    /// Its program runs.
    Running,
    /// It is being stopped, rescued or cleaned up.
    Stopping,
    /// Its program ended well.
    Completed,
    /// It ended otherwise.
    Failed,
    /// It was killed on command and seen dead.
    Killed,
}

impl AgentState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Spawning,
        Self::Running,
        Self::Stopping,
        Self::Completed,
        Self::Failed,
        Self::Killed,
    ];

    /// Whether an agent stays in this state for ever.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Spawning | Self::Running | Self::Stopping => false,
            Self::Completed | Self::Failed | Self::Killed => true,
        }
    }

    /// Its name, as in JSON and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Spawning => "spawning",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// Why an agent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    tag = "kind"
)]
pub enum Cause {
    /// Its program exited.
    Exit {
        /// With this code.
        code: i32,
    },
    /// Its program did the task and exited with 0, and was refused permissions on the way: look
    /// at what it did without them.
    CompletedWithDenials {
        /// How many were refused.
        denials: u32,
    },
    /// Its program ran and did not do the task.
    AgentFailed {
        /// Why.
        reason: Fault,
        /// What the program or its output says, for people.
        detail: String,
    },
    /// Its program was ended by a signal that the spoke did not send.
    Signal {
        /// Which.
        signal: i32,
    },
    /// The kernel killed it for want of memory.
    OutOfMemory {
        /// Its limit in bytes.
        limit_bytes: u64,
    },
    /// The spoke ended it because its folder used more of the disk than it may.
    OutOfDisk {
        /// Its limit in bytes.
        limit_bytes: u64,
    },
    /// A limit of time was reached.
    TimedOut {
        /// Which.
        limit: TimeLimit,
    },
    /// It was killed on command.
    Killed {
        /// Who asked: `local:<uid>` or `<connection>/<client>`.
        by: String,
        /// What they said.
        reason: String,
    },
    /// It was killed before it was spawned, so it never may be.
    Barred {
        /// Who asked, as in `Killed`.
        by: String,
    },
    /// A step of its start failed.
    SpawnFailed {
        /// `worktree`, `sandbox` or `queue`.
        step: String,
        /// What was wrong.
        detail: String,
    },
    /// Its end was not seen.
    Lost {
        /// What is known.
        detail: String,
    },
    /// The spoke was shut down.
    Drained,
}

/// A limit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// Whole life.
    WallClock,
    /// Silence.
    Idle,
    /// Its hub was out of touch for longer than the grant allows.
    CutOff,
}

impl Cause {
    /// The state that an agent which ended so is in.
    #[must_use]
    pub const fn state(&self) -> AgentState {
        match self {
            Self::Exit { code: 0 } | Self::CompletedWithDenials { .. } => AgentState::Completed,
            Self::Killed { .. } | Self::Barred { .. } => AgentState::Killed,
            Self::Exit { .. }
            | Self::AgentFailed { .. }
            | Self::Signal { .. }
            | Self::OutOfMemory { .. }
            | Self::OutOfDisk { .. }
            | Self::TimedOut { .. }
            | Self::SpawnFailed { .. }
            | Self::Lost { .. }
            | Self::Drained => AgentState::Failed,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit { code } => write!(out, "exit code {code}"),
            Self::CompletedWithDenials { denials } => {
                write!(out, "done, with {denials} permissions denied")
            }
            Self::AgentFailed { reason, detail } if detail.is_empty() => {
                out.write_str(reason.as_str())
            }
            Self::AgentFailed { reason, detail } => write!(out, "{}: {detail}", reason.as_str()),
            Self::Signal { signal } => write!(out, "signal {signal}"),
            Self::OutOfMemory { limit_bytes } => {
                write!(out, "out of memory at {} MiB", limit_bytes / (1024 * 1024))
            }
            Self::OutOfDisk { limit_bytes } => {
                write!(out, "out of disk at {} MiB", limit_bytes / (1024 * 1024))
            }
            Self::TimedOut {
                limit: TimeLimit::WallClock,
            } => out.write_str("wall-clock limit"),
            Self::TimedOut {
                limit: TimeLimit::Idle,
            } => out.write_str("idle limit"),
            Self::TimedOut {
                limit: TimeLimit::CutOff,
            } => out.write_str("its hub was out of touch for too long"),
            Self::Killed { by, reason } if reason.is_empty() => write!(out, "killed by {by}"),
            Self::Killed { by, reason } => write!(out, "killed by {by}: {reason}"),
            Self::Barred { by } => write!(out, "killed by {by} before it was spawned"),
            Self::SpawnFailed { step, detail } => write!(out, "{step} failed: {detail}"),
            Self::Lost { detail } => write!(out, "lost: {detail}"),
            Self::Drained => out.write_str("the spoke was shut down"),
        }
    }
}
