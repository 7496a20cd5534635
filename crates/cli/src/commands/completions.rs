//! `mosaic completions`: what a shell needs to complete `mosaic` when Tab is pressed.

use super::Context;
use crate::{args::Args, exit::Exit, failure::Failure};
use clap::CommandFactory;
use clap_complete::Shell;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "mosaic", &mut script);
    context.console.bytes(&script)?;
    Ok(Exit::Done)
}
