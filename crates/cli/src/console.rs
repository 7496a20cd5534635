//! The only way to the terminal: tables and lines for people, JSON for programs.
//!
//! Everything that goes out for people is escaped here, whoever wrote it. Only
//! [`Console::bytes`] passes bytes on as they are, and says when a caller may use it.

mod waiting;

pub(crate) use waiting::Waiting;

use crate::{
    escape::{Layout, escape},
    exit::Exit,
    failure::Failure,
    json,
};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// For whom to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// People.
    Human,
    /// Programs: one JSON object, or one a line.
    Json,
}

/// How a line shall look, where colours are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// In the background.
    Faint,
}

impl Paint {
    /// The paint for a state.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "completed" | "active" | "delivered" | "killed" => Self::Faint,
            "failed" | "refused" | "revoked" | "not_proved" => Self::Bad,
            "running" => Self::Good,
            _ => Self::Plain,
        }
    }

    fn apply(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => 32,
            Self::Bad => 31,
            Self::Faint => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// One row of a table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// How it shall look.
    pub paint: Paint,
    /// Its cells, as they came.
    pub cells: Vec<String>,
}

/// The terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    form: Form,
    is_coloured: bool,
}

impl Console {
    /// A console for `form`. Colours need a terminal, and `NO_COLOR` unset.
    pub(crate) fn new(form: Form) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            form,
            is_coloured: io::stdout().is_terminal() && !no_colour && !is_dumb,
        }
    }

    /// For whom it writes.
    pub(crate) fn form(self) -> Form {
        self.form
    }

    /// Writes one JSON object on a line of its own.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn object(self, value: &impl Serialize) -> Result<(), Failure> {
        self.bytes(format!("{}\n", json::line(value)).as_bytes())
    }

    /// Writes one line for people.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn line(self, paint: Paint, text: &str) -> Result<(), Failure> {
        let safe = escape(text, Layout::OneLine);
        let shown = if self.is_coloured {
            paint.apply(&safe)
        } else {
            safe.into_owned()
        };
        self.bytes(format!("{shown}\n").as_bytes())
    }

    /// Writes a table for people.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Row>) -> Result<(), Failure> {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(header.to_vec());
        let mut paints = vec![Paint::Plain];
        for row in rows {
            paints.push(row.paint);
            table.add_row(row.cells.iter().map(|cell| escape(cell, Layout::OneLine)));
        }
        // No cell holds a line break, so line and row go together.
        for (text, paint) in table.lines().zip(paints) {
            self.line(paint, text.trim_end())?;
        }
        Ok(())
    }

    /// Writes bytes as they are: what has been escaped, is JSON, or goes to no terminal.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(Failure::Output)
    }

    /// Tells people something beside the answer, on standard error. Programs get the answer only.
    pub(crate) fn note(self, text: &str) {
        if self.form == Form::Human {
            complain(&escape(text, Layout::OneLine));
        }
    }

    /// Shows people at a terminal that something is waited for, until the value is dropped.
    pub(crate) fn waiting(self, what: &str) -> Waiting {
        if self.form == Form::Human && Waiting::is_seen() {
            Waiting::begin(what)
        } else {
            Waiting::unseen()
        }
    }

    /// Says what is wrong with the command line, in the words of its parser. They repeat what
    /// was typed, and a script may have typed what an agent wrote.
    pub(crate) fn usage(self, text: &str) {
        match self.form {
            Form::Human => complain(escape(text, Layout::Keep).trim_end()),
            Form::Json => {
                let text = text.strip_prefix("error: ").unwrap_or(text).trim();
                self.failure(&Failure::input(text));
            }
        }
    }

    /// Says why the command ended early, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.exit() == Exit::Done {
            return; // a reader that has seen enough
        }
        match self.form {
            Form::Json => complain(&json::failure(failure)),
            Form::Human => {
                let source = std::error::Error::source(failure);
                let cause = source.map(|cause| format!(": {cause}")).unwrap_or_default();
                let text = format!("error: {failure}{cause} ({})", failure.reason());
                complain(&escape(&text, Layout::OneLine));
                if let Some(wait) = failure.retry_after() {
                    complain(&format!("hint: try again in {:.1} s", wait.as_secs_f64()));
                }
                if let Some(hint) = failure.hint() {
                    complain(&format!("hint: {hint}"));
                }
            }
        }
    }
}

/// Writes a line to standard error. Where that is closed there is nobody left to tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_is_put_around_text_and_taken_off_again() {
        assert_eq!(Paint::Plain.apply("x"), "x");
        assert_eq!(Paint::Bad.apply("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
