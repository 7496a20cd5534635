//! The hub's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    federation_gateway::main_with(std::env::args_os())
}
