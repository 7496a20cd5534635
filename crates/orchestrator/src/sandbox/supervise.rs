//! The process that an agent's program runs under, so that both outlive the spoke.
//!
//! It is this same executable, under another name: it is never missing and never of another version. It owns the agent's processes and its output; it knows no store, no
//! network and no spoke, and it uses threads but no async runtime.
//!
//! ```text
//! spoke ─► supervise ─► init ─► program                     (process sandbox)
//! spoke ─► supervise ─► enter = bwrap ─► init ─► program    (bubblewrap)
//! spoke ─► engine ─► contain ─► program                     (docker)
//! ```
//!
//! `init` starts the program, passes a polite stop on, and reports output and the true ending in
//! frames on its standard output, which the program never gets hold of. In bubblewrap it is the
//! first process of the agent's namespace. `enter` joins the control group and becomes bubblewrap.
//! In a container there is no supervisor: the engine keeps the container, its groups and its log,
//! and `contain` is `init` that is told what to start, and speaks to the log.

mod contain;
mod enter;
mod frames;
mod init;
mod launch;
mod line;
mod report;
pub mod supervisor;
mod voice;
mod watch;

pub(crate) use contain::Contained;
pub(crate) use frames::Frame;
pub(crate) use launch::{Launch, Started};
pub(crate) use line::Line;
pub(crate) use report::{EXIT, Exit, STATE, State, read};

use std::ffi::OsString;
use std::process::ExitCode;

/// The first argument that makes this executable a supervisor.
pub const SUPERVISE: &str = "supervise";

/// The first argument that makes it the process that becomes bubblewrap.
pub(crate) const ENTER: &str = "supervise-enter";

/// The first argument that makes it the parent of the program.
pub(crate) const INIT: &str = "supervise-init";
/// The first argument that makes it the first process of a container.
pub(crate) const CONTAIN: &str = "supervise-contain";

/// Plays the part that the first argument names, if it names one of these. To be called first
/// thing in `main`: threads must not have been started yet.
#[must_use]
pub fn play_a_part() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let part = arguments.next()?;
    let rest: Vec<OsString> = arguments.collect();
    match part.to_str()? {
        SUPERVISE => Some(watch::main(&rest)),
        ENTER => Some(enter::main(&rest)),
        INIT => Some(init::main(&rest)),
        CONTAIN => Some(contain::main()),
        _ => None,
    }
}
