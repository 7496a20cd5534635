//! The only way out: results on standard output, progress on standard error.

use std::io::{self, Write};

/// Prints a result.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Says what is being done. Where standard error is closed there is nobody to tell.
pub fn note(text: &str) {
    drop(writeln!(io::stderr(), "chaos: {text}"));
}
