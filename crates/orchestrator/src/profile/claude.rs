//! Claude Code, run without a person: how it is started, what its lines say, and what its end means.
//!
//! Written for the version that `scripts/claude.txt` names. The format of its lines is no documented
//! contract: the samples in `tests/fixtures/claude` are recorded anew for another version.

mod line;
mod session;
mod settings;
mod verdict;

pub use session::Session;
pub use settings::Settings;
pub(super) use settings::{check_arguments, check_in_the_clear, check_variable, stdin};

#[cfg(test)]
mod tests;
