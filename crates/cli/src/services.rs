//! The services as sub-commands, so that one program is enough on a machine. Hidden: their
//! own flags and documentation are those of the service binaries.

use std::{ffi::OsString, process::ExitCode};

/// A service to run until it is told to stop.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Service {
    /// Run a hub, as `federation-gateway` does
    #[command(hide = true, disable_help_flag = true)]
    Hub(ServiceArgs),
    /// Run a spoke, as `orchestrator` does
    #[command(hide = true, disable_help_flag = true)]
    Spoke(ServiceArgs),
}

/// The service's own arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Service {
    /// Runs it. The exit codes are the service's.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Hub(args) => federation_gateway::main_with(args.under("mosaic hub")),
            Self::Spoke(args) => orchestrator::main_with(args.under("mosaic spoke")),
        }
    }
}

impl ServiceArgs {
    /// The arguments as a program of this name would get them.
    fn under(self, name: &str) -> impl Iterator<Item = OsString> {
        std::iter::once(OsString::from(name)).chain(self.arguments)
    }
}
