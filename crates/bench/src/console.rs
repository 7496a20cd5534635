//! The only way out: the report on standard output, progress on standard error.

use crate::report::{HEADER, Report};
use std::io::{self, Write};

/// In which form the report is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A table for a terminal.
    Table,
    /// A table for the documentation.
    Markdown,
    /// One JSON object.
    Json,
}

/// Prints the report.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(report: &Report, form: Form) -> io::Result<()> {
    let text = match form {
        Form::Table => table(report),
        Form::Markdown => report.markdown(),
        Form::Json => format!("{:#}\n", report.json()),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says what is being done. Where standard error is closed there is nobody to tell.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr(), "bench: {text}"));
}

fn table(report: &Report) -> String {
    let mut lines = vec![HEADER.map(String::from)];
    lines.extend(report.rows.iter().map(|row| row.cells()));
    // What was not measured has its reason in the second column, as long as it needs.
    let is_reason = |cell: &str| cell.starts_with("not measured");
    let width = |column: usize| {
        let cells = lines.iter().map(|line| &line[column]);
        let widths = cells
            .filter(|cell| !is_reason(cell))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = format!("{}\n\n", report.machine.line());
    for line in &lines {
        let cells = line.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
