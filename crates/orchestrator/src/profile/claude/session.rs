//! What is known of one run of Claude Code from the lines it has written so far. Pure.

use super::line::{Answer, Line, TurnResult};
use mosaic_common::agent::Usage;

/// What is known of one run from its output so far.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Whether the program has begun.
    begun: bool,
    /// How the last turn ended; `None` if none has, or another has begun since.
    pub(super) last: Option<TurnResult>,
    /// What the server answered to the last call that failed in this turn.
    pub(super) retry: Option<Answer>,
    /// Whether output was lost since the last turn ended: then it need not be the last.
    pub(super) lost: Lost,
    /// Denials that were told one by one.
    denied: usize,
    /// Tasks that run in the background.
    pub(super) tasks: usize,
    /// What the turns have used, added up, but for the cost.
    turns: Usage,
    /// What has been used; `None` before the first turn has ended.
    usage: Option<Usage>,
}

/// Whether output was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was not.
    #[default]
    No,
    /// It was.
    Yes,
}

impl Session {
    /// Takes in one line, without its end. Any bytes will do.
    pub fn on_line(&mut self, line: &[u8]) {
        match Line::parse(line) {
            Line::Init => {
                self.begun = true;
                (self.last, self.retry) = (None, None);
            }
            Line::Tasks(tasks) => self.tasks = tasks,
            Line::Retry(answer) => self.retry = Some(answer),
            Line::Denied => self.denied += 1,
            Line::Result(result) => self.on_result(*result),
            Line::Other | Line::Garbage => {}
        }
    }

    /// Takes in that output was lost: a line too long to be held, or all from here on.
    pub fn on_loss(&mut self) {
        self.lost = Lost::Yes;
    }

    fn on_result(&mut self, result: TurnResult) {
        self.begun = true;
        self.lost = Lost::No;
        self.denied = self.denied.max(result.denials);
        let (turn, before) = (result.turn, self.turns);
        self.turns = Usage {
            input_tokens: before.input_tokens.saturating_add(turn.input_tokens),
            output_tokens: before.output_tokens.saturating_add(turn.output_tokens),
            cache_read_tokens: before
                .cache_read_tokens
                .saturating_add(turn.cache_read_tokens),
            cache_write_tokens: before
                .cache_write_tokens
                .saturating_add(turn.cache_write_tokens),
            cost_micros: 0,
            turns: before.turns.saturating_add(turn.turns),
        };
        self.usage = Some(most(
            self.usage.unwrap_or_default(),
            most(self.turns, result.session),
        ));
        self.last = Some(result);
    }

    /// Whether the program has begun with the task.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// What has been used in the turns that have ended; `None` before the first.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// How many permissions were denied. Each is told when it happens and again at the end of its
    /// turn, so the larger number is the true one.
    pub(super) fn denials(&self) -> u32 {
        u32::try_from(self.denied).unwrap_or(u32::MAX)
    }
}

/// The larger of each number. A session's sums only grow, and leave out what a version does not
/// tell; the turns' own leave out what a turn that was cut short has used.
fn most(one: Usage, other: Usage) -> Usage {
    Usage {
        input_tokens: one.input_tokens.max(other.input_tokens),
        output_tokens: one.output_tokens.max(other.output_tokens),
        cache_read_tokens: one.cache_read_tokens.max(other.cache_read_tokens),
        cache_write_tokens: one.cache_write_tokens.max(other.cache_write_tokens),
        cost_micros: one.cost_micros.max(other.cost_micros),
        turns: one.turns.max(other.turns),
    }
}
