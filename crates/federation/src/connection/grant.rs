//! What a spoke lets one hub ask for. The site has the last word: nothing here is ever implied.

use mosaic_common::agent::{Limits, Spec};
use mosaic_common::proto::federation::v1::CommandKind;
use mosaic_common::{Alias, Reason, Refusal};

use crate::kind;
use std::time::Duration;

/// What one hub may ask of this spoke. An empty list allows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The kinds of command.
    pub commands: Vec<CommandKind>,
    /// The repositories an agent may work on.
    pub repositories: Vec<Alias>,
    /// The agent profiles.
    pub profiles: Vec<Alias>,
    /// The sandboxes.
    pub sandboxes: Vec<Alias>,
    /// The most agents alive at a time. The spoke's `Execute::admit` enforces it.
    pub max_agents: u32,
    /// The most commands in a minute, of every kind together.
    pub commands_per_minute: u32,
    /// The most one agent may use. The spoke lowers what is asked with [`Limits::at_most`].
    pub limits: Limits,
    /// How long the hub may be out of touch before its agents are stopped; `None`: they go on to
    /// their own end.
    pub cut_off: Option<Duration>,
}

impl Grant {
    /// Checks the kind of a command.
    ///
    /// # Errors
    /// `GRANT_KIND_DENIED`.
    pub fn check_kind(&self, kind: CommandKind) -> Result<(), Refusal> {
        if self.commands.contains(&kind) {
            return Ok(());
        }
        let problem = format!("the grant does not list {}", kind::name(kind));
        Err(Refusal::new(Reason::GrantKindDenied, problem))
    }

    /// Checks the names an agent's spec holds. A name left open is not judged here: the spoke
    /// calls this once more after it has put its defaults in.
    ///
    /// # Errors
    /// `GRANT_REPOSITORY_DENIED`, `GRANT_PROFILE_DENIED` or `GRANT_SANDBOX_DENIED`.
    pub fn check_spec(&self, spec: &Spec) -> Result<(), Refusal> {
        let checks = [
            (
                &spec.repository,
                &self.repositories,
                "repository",
                Reason::GrantRepositoryDenied,
            ),
            (
                &spec.profile,
                &self.profiles,
                "profile",
                Reason::GrantProfileDenied,
            ),
            (
                &spec.sandbox,
                &self.sandboxes,
                "sandbox",
                Reason::GrantSandboxDenied,
            ),
        ];
        for (wanted, allowed, what, reason) in checks {
            if let Some(name) = wanted.as_ref().filter(|name| !allowed.contains(name)) {
                let problem = format!("the grant does not list the {what} {name}");
                return Err(Refusal::new(reason, problem));
            }
        }
        Ok(())
    }
}
