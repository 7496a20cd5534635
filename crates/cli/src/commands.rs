//! The commands, one file each. None knows another.

pub(crate) mod completions;
pub(crate) mod connections;
pub(crate) mod history;
pub(crate) mod inventory;
pub(crate) mod keygen;
pub(crate) mod kill;
pub(crate) mod kill_all;
mod listing;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod quarantine;
pub(crate) mod release;
pub(crate) mod result;
pub(crate) mod sites;
pub(crate) mod spawn;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod watch;

use crate::{
    args::Command, client::Client, console::Console, exit::Exit, failure::Failure,
    target::TargetArgs,
};
use mosaic_common::{AgentId, Alias, CommandId};

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where to write.
    pub console: Console,
    /// Where to connect, for those that do.
    pub target: TargetArgs,
}

impl Context {
    /// Prepares the connection.
    ///
    /// # Errors
    /// If the endpoint, the token or the certificate authority cannot be used.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.target.resolve()?)
    }
}

/// Which agent.
#[derive(Debug, clap::Args)]
pub(crate) struct AgentArgs {
    /// The agent's id
    #[arg(value_name = "ID")]
    pub agent: AgentId,
    /// Its site; needed only where a hub cannot know it
    #[arg(long, value_name = "SITE")]
    pub site: Option<Alias>,
}

impl AgentArgs {
    /// Its site as it travels: empty for none.
    pub(crate) fn site(&self) -> String {
        site(self.site.as_ref())
    }
}

/// A site as it travels: empty for none.
pub(crate) fn site(site: Option<&Alias>) -> String {
    site.map(ToString::to_string).unwrap_or_default()
}

/// The command id that was given, else a fresh one: chosen here, so that a retry repeats it.
pub(crate) fn command_id(given: Option<CommandId>) -> String {
    given.unwrap_or_else(CommandId::random).to_string()
}

/// Runs one command.
///
/// # Errors
/// Whatever ended it early.
pub(crate) async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Spawn(args) => spawn::run(*args, context).await,
        Command::Ps(args) => ps::run(args, context).await,
        Command::Quarantine(args) => quarantine::run(args, context).await,
        Command::Status(args) => status::run(&args, context).await,
        Command::Logs(args) => logs::run(&args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Kill(args) => kill::run(args, context).await,
        Command::KillAll(args) => kill_all::run(args, context).await,
        Command::Release(args) => release::run(&args, context).await,
        Command::Result(args) => result::run(&args, context).await,
        Command::Commands(args) => history::run(&args, context).await,
        Command::Completions(args) => completions::run(&args, context),
        Command::Connections => connections::run(context).await,
        Command::Sites => sites::run(context).await,
        Command::Token(args) => token::run(args, context).await,
        Command::Keygen(args) => keygen::run(&args, context),
        Command::Inventory(args) => inventory::run(&args, context).await,
        Command::Demo(args) => crate::demo::run(&args, context.console.form()).await,
        Command::Up(args) => crate::up::run(args, context).await,
    }
}
