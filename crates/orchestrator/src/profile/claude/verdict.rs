//! What the end of a run of Claude Code means. Pure.
//!
//! Exit code 0 is not success, and neither is a result that calls itself `success`: both must be
//! there, and the result must not be an error. What the spoke itself ended has its own cause and
//! never comes here.

use super::line::{Answer, TurnResult};
use super::session::{Lost, Session};
use crate::sandbox::Ending;
use mosaic_common::agent::{Cause, Fault, Limits};

impl Session {
    /// Why an agent whose program wrote these lines and ended so has ended. Details are in words
    /// of ours: what a model's server says may repeat a part of a key.
    #[must_use]
    pub fn verdict(&self, ending: Ending, limits: &Limits) -> Cause {
        match ending {
            Ending::Exit(code) => self.judge(code),
            // Nobody asks a dead program how it did.
            Ending::Signal(_) | Ending::OutOfMemory | Ending::Unknown(_) => ending.cause(limits),
        }
    }

    fn judge(&self, code: i32) -> Cause {
        if self.lost == Lost::Yes {
            return failed(
                Fault::Protocol,
                "a part of its output was not kept, so its last word is not known",
            );
        }
        match &self.last {
            None => self.without_a_result(code),
            Some(result) if result.is_good() => self.praise(code),
            Some(result) => self.blame(result),
        }
    }

    fn praise(&self, code: i32) -> Cause {
        match (code, self.tasks, self.denials()) {
            // It waits for them, so this is not its own way to end.
            (0, 1.., _) => failed(
                Fault::Protocol,
                "it ended while tasks of it ran in the background",
            ),
            (0, 0, denials @ 1..) => Cause::CompletedWithDenials { denials },
            (_, _, _) => Cause::Exit { code },
        }
    }

    fn without_a_result(&self, code: i32) -> Cause {
        match signal_of(code) {
            Some(name) => failed(Fault::Cancelled, format!("something inside sent {name}")),
            None if !self.has_begun() => failed(
                Fault::StartFailed,
                format!("it ended with exit code {code} before it began; its output says more"),
            ),
            None => failed(
                Fault::Protocol,
                format!("it ended with exit code {code} in the middle of a turn"),
            ),
        }
    }

    fn blame(&self, result: &TurnResult) -> Cause {
        match (result.subtype.as_str(), result.terminal_reason.as_str()) {
            (_, "aborted_streaming" | "aborted_tools") => {
                failed(Fault::Cancelled, "it was interrupted from inside")
            }
            ("error_max_turns", _) => {
                failed(Fault::MaxTurns, "max_turns of the profile was reached")
            }
            ("error_max_budget_usd", _) => {
                failed(Fault::Budget, "max_budget_usd of the profile was reached")
            }
            _ if result.status.is_some() || result.terminal_reason == "api_error" => {
                self.blame_server(result)
            }
            _ if result.is_error == Some(true) => {
                failed(Fault::Program, "it reports an error; its output says which")
            }
            (subtype, _) if subtype.starts_with("error") => {
                failed(Fault::Program, "it reports an error; its output says which")
            }
            _ => failed(
                Fault::Protocol,
                "its last result does not say whether it is an error",
            ),
        }
    }

    fn blame_server(&self, result: &TurnResult) -> Cause {
        let answered = |fault, status| {
            failed(
                fault,
                format!("the model's server answered {status}; its output says more"),
            )
        };
        match result.status {
            Some(status @ (401 | 403)) => answered(Fault::Auth, status),
            Some(status @ 429) => answered(Fault::RateLimit, status),
            Some(status @ 529) => answered(Fault::Overloaded, status),
            Some(status) => answered(Fault::Api, status),
            None if result.text.starts_with("Not logged in") => {
                failed(Fault::Auth, "it was given no key")
            }
            None if self.retry == Some(Answer::Nothing) => {
                failed(Fault::Network, "the model's server gave no answer")
            }
            None => failed(
                Fault::Api,
                "a call of the model's server failed; its output says more",
            ),
        }
    }
}

impl TurnResult {
    fn is_good(&self) -> bool {
        self.subtype == "success" && self.is_error == Some(false)
    }
}

/// The signal that an exit code of the program stands for. SIGINT is not among them: it gives a
/// result.
fn signal_of(code: i32) -> Option<&'static str> {
    match code {
        129 => Some("SIGHUP"),
        143 => Some("SIGTERM"),
        _ => None,
    }
}

fn failed(reason: Fault, detail: impl Into<String>) -> Cause {
    Cause::AgentFailed {
        reason,
        detail: detail.into(),
    }
}
