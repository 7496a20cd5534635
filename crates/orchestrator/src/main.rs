//! The spoke's program; and, under its other name, the supervisor of an agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that starts threads: the supervisor must be alone in its process.
    if let Some(code) = orchestrator::supervise::play_a_part() {
        return code;
    }
    orchestrator::main_with(std::env::args_os())
}
