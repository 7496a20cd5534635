//! One line of Claude Code's stream-json, as far as it matters here. Pure.
//!
//! Key order is not fixed, versions add types and fields, and a field may be of another type than
//! expected: what is not understood is nothing, and never an error.

use mosaic_common::agent::Usage;
use serde_json::{Map, Value};

/// What a line tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// A turn begins.
    Init,
    /// This many tasks now run in the background.
    Tasks(usize),
    /// A call of the model's server failed and is tried again.
    Retry(Answer),
    /// A tool was denied.
    Denied,
    /// A turn has ended.
    Result(Box<TurnResult>),
    /// Nothing that matters here.
    Other,
    /// Not an object of JSON.
    Garbage,
}

/// What the model's server answered to a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// This HTTP status.
    Status(u64),
    /// Nothing.
    Nothing,
}

/// How a turn ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TurnResult {
    /// `success`, `error_max_turns` and so on.
    pub(super) subtype: String,
    /// Whether it says that it failed; `None`: it does not say.
    pub(super) is_error: Option<bool>,
    /// `completed`, `api_error`, `aborted_tools` and so on.
    pub(super) terminal_reason: String,
    /// The HTTP status that ended it.
    pub(super) status: Option<u64>,
    /// The last words.
    pub(super) text: String,
    /// Permissions denied in it.
    pub(super) denials: usize,
    /// What this turn used, but for the cost.
    pub(super) turn: Usage,
    /// What the whole session has used so far, with the cost, but for the turns.
    pub(super) session: Usage,
}

impl Line {
    /// Reads one line.
    pub(super) fn parse(line: &[u8]) -> Self {
        let Ok(Value::Object(line)) = serde_json::from_slice(line) else {
            return Self::Garbage;
        };
        match (text(&line, "type"), text(&line, "subtype")) {
            ("system", "init") => Self::Init,
            ("system", "background_tasks_changed") => Self::Tasks(length(&line, "tasks")),
            ("system", "api_retry") => Self::Retry(
                line.get("error_status")
                    .and_then(Value::as_u64)
                    .map_or(Answer::Nothing, Answer::Status),
            ),
            ("system", "permission_denied") => Self::Denied,
            ("result", _) => Self::Result(Box::new(TurnResult::of(&line))),
            _ => Self::Other,
        }
    }
}

impl TurnResult {
    fn of(line: &Map<String, Value>) -> Self {
        let none = Map::new();
        let usage = line.get("usage").and_then(Value::as_object);
        let usage = usage.unwrap_or(&none);
        Self {
            subtype: text(line, "subtype").to_owned(),
            is_error: line.get("is_error").and_then(Value::as_bool),
            terminal_reason: text(line, "terminal_reason").to_owned(),
            status: line.get("api_error_status").and_then(Value::as_u64),
            text: text(line, "result").to_owned(),
            denials: length(line, "permission_denials"),
            turn: Usage {
                input_tokens: number(usage, "input_tokens"),
                output_tokens: number(usage, "output_tokens"),
                cache_read_tokens: number(usage, "cache_read_input_tokens"),
                cache_write_tokens: number(usage, "cache_creation_input_tokens"),
                cost_micros: 0,
                turns: number(line, "num_turns"),
            },
            session: session(line),
        }
    }
}

/// The sums of a session: by model in `modelUsage`, and `total_cost_usd`.
fn session(line: &Map<String, Value>) -> Usage {
    let models = line.get("modelUsage").and_then(Value::as_object);
    let models = models.into_iter().flat_map(Map::values);
    let mut sum = Usage::default();
    for model in models.filter_map(Value::as_object) {
        let add = |sum: &mut u64, key| *sum = sum.saturating_add(number(model, key));
        add(&mut sum.input_tokens, "inputTokens");
        add(&mut sum.output_tokens, "outputTokens");
        add(&mut sum.cache_read_tokens, "cacheReadInputTokens");
        add(&mut sum.cache_write_tokens, "cacheCreationInputTokens");
    }
    let dollars = line.get("total_cost_usd").and_then(Value::as_f64);
    sum.cost_micros = micros(dollars.unwrap_or_default());
    sum
}

/// Millionths; what is below zero is zero, and `as` stops at the largest number there is.
fn micros(dollars: f64) -> u64 {
    (dollars.max(0.0) * 1e6).round() as u64
}

fn text<'a>(line: &'a Map<String, Value>, key: &str) -> &'a str {
    line.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(line: &Map<String, Value>, key: &str) -> u64 {
    line.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn length(line: &Map<String, Value>, key: &str) -> usize {
    line.get(key).and_then(Value::as_array).map_or(0, Vec::len)
}
