//! `mosaic`: the client of hub and spoke. Parses the command line, runs one command,
//! and turns its outcome into an exit code. Everything else is in the modules.

mod args;
mod client;
mod commands;
mod console;
mod demo;
mod escape;
mod exit;
mod failure;
mod follow;
mod hint;
mod image;
mod inventory;
mod json;
mod quantity;
mod retry;
mod services;
mod show;
mod target;
mod task_text;
mod token;
mod up;
mod view;

use args::{Args, Command, Task};
use clap::Parser;
use commands::Context;
use console::{Console, Form};
use exit::Exit;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that starts threads: a supervisor must be alone in its process.
    if let Some(code) = orchestrator::supervise::play_a_part() {
        return code;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error).into(),
    };
    let command = match args.task {
        Task::Command(command) => command,
        Task::Service(service) => return service.run(),
    };
    let form = if args.json { Form::Json } else { Form::Human };
    let context = Context {
        console: Console::new(form),
        target: args.target,
    };
    let exit = run(command, &context).unwrap_or_else(|failure| {
        context.console.failure(&failure);
        failure.exit()
    });
    exit.into()
}

fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    // One thread is enough: a client waits for one answer at a time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Write {
            what: "cannot start".into(),
            source: source.into(),
        })?;
    runtime.block_on(commands::run(command, context))
}

/// Help and version go to standard output; a wrong command line is told in the form
/// that it asks for.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print(); // if it cannot be printed there is nobody to tell
        return Exit::Done;
    }
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let form = if wants_json { Form::Json } else { Form::Human };
    Console::new(form).usage(&error.render().to_string());
    Exit::Usage
}
