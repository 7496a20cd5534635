//! A container as the engine sees it.

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use std::collections::HashMap;

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was never started.
    Created,
    Running,
    Paused,
    /// None of its processes lives.
    Exited,
    /// Not known: it counts as alive.
    Other,
}

impl Phase {
    /// Whether nothing of it can run, or will.
    pub(super) fn has_stopped(self) -> bool {
        matches!(self, Self::Created | Self::Exited)
    }
}

/// A container as the engine sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) phase: Phase,
    pub(super) exit_code: i64,
    pub(super) out_of_memory: bool,
    /// Why it could not be started; empty if it could.
    pub(super) error: String,
    pub(super) labels: HashMap<String, String>,
}

impl Seen {
    /// One that is not there any more.
    pub(super) fn gone() -> Self {
        Self {
            id: String::new(),
            phase: Phase::Exited,
            exit_code: 0,
            out_of_memory: false,
            error: String::new(),
            labels: HashMap::new(),
        }
    }
}

impl From<ContainerInspectResponse> for Seen {
    fn from(container: ContainerInspectResponse) -> Self {
        let state = container.state.unwrap_or_default();
        let phase = match state.status {
            Some(Status::CREATED) => Phase::Created,
            Some(Status::RUNNING) => Phase::Running,
            Some(Status::PAUSED) => Phase::Paused,
            Some(Status::EXITED | Status::DEAD) => Phase::Exited,
            _ => Phase::Other,
        };
        Self {
            id: container.id.unwrap_or_default(),
            phase,
            exit_code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            labels: container
                .config
                .and_then(|config| config.labels)
                .unwrap_or_default(),
        }
    }
}
