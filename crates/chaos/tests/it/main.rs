//! The proofs at the size of every merge; variables make them larger, `docs/reliability.md` says how.
//!
//! Real hubs, spokes, agents, engines and signals. What is missing here is said aloud and left out;
//! with `MOSAIC_CI=1` that is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may
#![allow(clippy::disallowed_methods)] // it watches real processes, in real time

mod checker;
mod failpoints;
mod kill;
mod soak;

use std::path::Path;
use std::process::{Command, Stdio};

/// The program that plays hub and spoke.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_chaos"))
}

/// Whether agents can run in bubblewrap here: without it nothing is tested.
pub(crate) fn can_run() -> bool {
    let bubblewrap = ["--ro-bind", "/", "/", "--unshare-all", "true"];
    has("bubblewrap", Command::new("bwrap").args(bubblewrap))
}

/// Whether there is an engine with the image that tests use.
pub(crate) fn has_docker() -> bool {
    has(
        "docker with the image mosaic-test",
        Command::new("docker").args(["image", "inspect", "mosaic-test"]),
    )
}

fn has(what: &str, probe: &mut Command) -> bool {
    let probed = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if probed.is_ok_and(|probed| probed.success()) {
        return true;
    }
    let promised = std::env::var_os("MOSAIC_CI").is_some_and(|set| set == "1");
    assert!(!promised, "{what} is needed here");
    eprintln!("##### SKIPPED, NOT TESTED: no {what} #####");
    false
}

/// A size from the environment; without it, that of every merge.
pub(crate) fn size(variable: &str, usual: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| usual.to_owned())
}

/// Runs the program, and asserts that it found nothing.
pub(crate) fn chaos(arguments: &[&str]) -> String {
    let done = Command::new(program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{out}\n{err}");
    out
}
