//! A line that moves while something slow is waited for. Only people at a terminal see it.

use crate::escape::{Layout, escape};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at};

/// How long nobody needs to be told anything, and how often the line moves.
const PATIENCE: Duration = Duration::from_millis(400);
const BEAT: Duration = Duration::from_millis(100);

const MARKS: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠇', '⠏', '⠹'];

/// The line. It is gone with the value.
#[derive(Debug)]
pub(crate) struct Waiting(Option<AbortHandle>);

impl Waiting {
    /// Where nobody looks.
    pub(super) const fn unseen() -> Self {
        Self(None)
    }

    /// Whether standard error is a terminal that can move its cursor.
    pub(super) fn is_seen() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        io::stderr().is_terminal() && !is_dumb && std::env::var_os("CI").is_none()
    }

    /// Begins to move.
    pub(super) fn begin(what: &str) -> Self {
        let what = escape(what, Layout::OneLine).into_owned();
        let begun = Instant::now();
        let moving = tokio::spawn(async move {
            let mut beat = interval_at(begun + PATIENCE, BEAT);
            for mark in MARKS.iter().cycle() {
                beat.tick().await;
                let seconds = begun.elapsed().as_secs();
                let _ = write!(io::stderr(), "\r\u{1b}[K{mark} {what} ({seconds} s)"); // or nobody looks
            }
        });
        Self(Some(moving.abort_handle()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(moving) = self.0.take() {
            moving.abort();
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
