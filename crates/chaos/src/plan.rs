//! What clients ask for: agents that say to the witness what they do, and calls that can be repeated.

use crate::world::World;
use mosaic_common::proto::agent::v1::{AgentSpec, KillRequest, SpawnRequest};
use mosaic_common::{AgentId, CommandId};

/// Mebibytes that are rescued of an agent, and that one leaves for whom it is too much.
pub(crate) const MOST: u32 = 4;
const LARGE: u32 = MOST + 4;

/// What an agent does after it has written a file and made a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ends well.
    Well,
    /// It fails.
    Badly,
    /// It stays until it is killed.
    Never,
    /// It leaves more than is rescued, and ends well.
    TooMuch,
}

/// An agent, and the command that asks for it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id.
    pub agent: String,
    /// The command's id, the same at each repetition.
    pub command: String,
    /// How its program ends.
    pub ending: Ending,
    /// Its sandbox.
    pub sandbox: &'static str,
    /// Its repository; empty: none.
    pub repository: String,
    /// Its profile: `alone`, or `online` with a network.
    pub profile: &'static str,
}

impl Plan {
    /// An agent in bubblewrap with the usual repository.
    #[must_use]
    pub fn new(ending: Ending) -> Self {
        let command = CommandId::random();
        Self {
            agent: AgentId::of_command(command).to_string(),
            command: command.to_string(),
            ending,
            sandbox: "bubblewrap",
            repository: "web".to_owned(),
            profile: "alone",
        }
    }

    /// The same in another sandbox.
    #[must_use]
    pub fn within(mut self, sandbox: &'static str) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// The same with a network.
    #[must_use]
    pub fn online(mut self) -> Self {
        self.profile = "online";
        self
    }

    /// The same with this repository; empty: none.
    #[must_use]
    pub fn on(mut self, repository: String) -> Self {
        self.repository = repository;
        self
    }

    /// The call that asks for it.
    #[must_use]
    pub fn spawn(&self, world: &World) -> SpawnRequest {
        SpawnRequest {
            site: world.site().to_owned(),
            command_id: self.command.clone(),
            spec: Some(AgentSpec {
                agent_id: self.agent.clone(),
                task: self.script(world),
                task_id: "chaos".to_owned(),
                repository: self.repository.clone(),
                profile: self.profile.to_owned(),
                sandbox: self.sandbox.to_owned(),
                ..AgentSpec::default()
            }),
        }
    }

    /// A call that kills it.
    #[must_use]
    pub fn kill(&self, world: &World) -> KillRequest {
        KillRequest {
            site: world.site().to_owned(),
            command_id: CommandId::random().to_string(),
            agent_id: self.agent.clone(),
            grace: None,
            reason: "chaos".to_owned(),
        }
    }

    /// Each deed is told to the witness after it is done, so nothing is promised too early.
    fn script(&self, world: &World) -> String {
        let (id, pipe) = (&self.agent, world.witness.pipe().display());
        let mut script =
            format!("tell() {{ echo \"$*\" > '{pipe}'; }}\ntell begun {id} $$\necho begun\n");
        if !self.repository.is_empty() && self.ending != Ending::TooMuch {
            script += &format!(
                "echo {id} > work.txt && tell file {id} work.txt {id}\n\
                 git add work.txt && git -c user.name=a -c user.email=a@a.invalid commit -q -m work \
                 && tell commit {id} $(git rev-parse HEAD)\n\
                 echo {id} > loose.txt && tell file {id} loose.txt {id}\n"
            );
        }
        script += &match self.ending {
            Ending::Well => format!("tell done {id}\nexit 0\n"),
            Ending::Badly => "exit 3\n".to_owned(),
            Ending::TooMuch => format!(
                "dd if=/dev/urandom of=big bs=1M count={LARGE} 2>&-\ntell done {id}\nexit 0\n"
            ),
            Ending::Never => "exec sleep 600\n".to_owned(),
        };
        script
    }
}
