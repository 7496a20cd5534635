//! Recorded runs of the real program, and what must hold of any lines whatever.

use super::Session;
use crate::sandbox::Ending;
use mosaic_common::agent::{AgentState, Cause, Fault, Limits, Usage};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The lines of a run that was recorded.
fn recorded(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/claude");
    std::fs::read(format!("{folder}/{name}.jsonl")).unwrap()
}

fn session(lines: &[u8]) -> Session {
    let mut session = Session::default();
    let lines = lines.split(|byte| *byte == b'\n');
    lines.for_each(|line| session.on_line(line));
    session
}

fn judged(session: &Session, code: i32) -> Cause {
    session.verdict(Ending::Exit(code), &Limits::default())
}

/// The fault of a run that failed.
fn fault(cause: &Cause) -> Option<Fault> {
    match cause {
        Cause::AgentFailed { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn every_recorded_failure_has_its_own_reason() {
    for (name, code, expected) in [
        ("no-key", 1, Fault::Auth),
        ("http-400", 1, Fault::Api),
        ("http-401", 1, Fault::Auth),
        ("http-403", 1, Fault::Auth),
        ("http-429", 1, Fault::RateLimit),
        ("http-500", 1, Fault::Api),
        ("http-529", 1, Fault::Overloaded),
        ("refused", 1, Fault::Network),
        ("max-turns", 1, Fault::MaxTurns),
        ("max-budget", 1, Fault::Budget),
        ("resume-unknown", 1, Fault::Program),
        ("sigterm", 143, Fault::Cancelled),
        ("sighup", 129, Fault::Cancelled),
        ("sigint", 0, Fault::Cancelled),
    ] {
        let cause = judged(&session(&recorded(name)), code);
        assert_eq!(fault(&cause), Some(expected), "{name}: {cause}");
        assert_eq!(cause.state(), AgentState::Failed);
        let said = cause.to_string();
        assert!(!said.contains("scripted"), "the server's words: {said}");
    }
}

#[test]
fn every_recorded_success_is_one() {
    for name in ["done", "cut", "recovered-529", "background", "empty-prompt"] {
        let cause = judged(&session(&recorded(name)), 0);
        assert_eq!(cause, Cause::Exit { code: 0 }, "{name}");
    }
}

#[test]
fn denied_permissions_are_completed_and_never_plain_success() {
    let cause = judged(&session(&recorded("denied")), 0);
    assert_eq!(cause, Cause::CompletedWithDenials { denials: 1 });
    assert_eq!(cause.state(), AgentState::Completed);
}

/// A bad flag, a bad or used session id, garbage on standard input: rc 1 and no line at all. No
/// input: rc 0 and no line at all.
#[test]
fn a_run_without_a_line_did_not_start_whatever_its_exit_code() {
    for code in [0, 1] {
        let cause = judged(&Session::default(), code);
        assert_eq!(fault(&cause), Some(Fault::StartFailed), "{code}");
    }
}

#[test]
fn a_run_that_a_signal_ended_is_told_by_the_signal() {
    let session = session(&recorded("sigkill"));
    let cause = session.verdict(Ending::Signal(9), &Limits::default());
    assert_eq!(cause, Cause::Signal { signal: 9 });
}

#[test]
fn no_recorded_run_that_is_cut_short_is_a_success() {
    for name in ["done", "cut", "recovered-529", "background", "denied"] {
        let lines = recorded(name);
        let last = lines[..lines.len() - 1].iter().rposition(|b| *b == b'\n');
        let mut whole = session(&lines);
        let cause = judged(&session(&lines[..=last.unwrap()]), 0);
        assert_eq!(fault(&cause), Some(Fault::Protocol), "{name}");
        whole.on_loss();
        let cause = judged(&whole, 0);
        assert_eq!(fault(&cause), Some(Fault::Protocol), "{name}, lost");
    }
}

#[test]
fn what_was_lost_before_the_last_result_does_not_matter() {
    let mut session = Session::default();
    session.on_loss();
    let lines = recorded("done");
    let lines = lines.split(|byte| *byte == b'\n');
    lines.for_each(|line| session.on_line(line));
    assert_eq!(judged(&session, 0), Cause::Exit { code: 0 });
}

#[test]
fn a_good_result_does_not_outweigh_a_bad_exit() {
    let session = session(&recorded("done"));
    assert_eq!(judged(&session, 1), Cause::Exit { code: 1 });
    let oom = session.verdict(Ending::OutOfMemory, &Limits::default());
    assert_eq!(oom.state(), AgentState::Failed);
}

#[test]
fn the_first_result_is_not_the_end_while_something_runs_in_the_background() {
    let lines = recorded("background");
    let mut seen = Session::default();
    let mut usages = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        seen.on_line(line);
        usages.extend(seen.usage().filter(|used| usages.last() != Some(used)));
    }
    let [first, second] = usages[..] else {
        panic!("{usages:?}");
    };
    assert_eq!((first.turns, second.turns), (2, 3));
    // A session's cost is told as a sum: adding it up would bill it twice.
    assert_eq!((first.cost_micros, second.cost_micros), (235, 352));
    assert_eq!((first.input_tokens, second.input_tokens), (20, 30));
}

#[test]
fn a_run_that_ends_before_its_tasks_in_the_background_is_no_success() {
    let lines = recorded("background");
    let result = br#""subtype":"success""#;
    let at = lines.windows(result.len()).position(|part| part == result);
    let end = lines[at.unwrap()..].iter().position(|byte| *byte == b'\n');
    let cause = judged(&session(&lines[..at.unwrap() + end.unwrap()]), 0);
    assert_eq!(fault(&cause), Some(Fault::Protocol), "{cause}");
}

#[test]
fn usage_is_told_also_of_a_turn_that_the_budget_cut_short() {
    let expected = Usage {
        input_tokens: 10,
        output_tokens: 5,
        cache_read_tokens: 4,
        cache_write_tokens: 3,
        cost_micros: 117,
        turns: 1,
    };
    assert_eq!(session(&recorded("max-budget")).usage(), Some(expected));
}

#[test]
fn a_result_that_does_not_say_whether_it_failed_is_no_success() {
    for is_error in [json!(null), json!("false"), json!(0), json!([])] {
        let line = json!({"type": "result", "subtype": "success", "is_error": is_error});
        let cause = judged(&session(line.to_string().as_bytes()), 0);
        assert_eq!(fault(&cause), Some(Fault::Protocol), "{line}");
    }
}

/// The same object with its keys the other way round.
fn reversed(line: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
        return line.to_vec();
    };
    let field = |(key, value): (&String, &Value)| format!("{}:{value}", json!(key));
    let fields: Vec<_> = object.iter().rev().map(field).collect();
    format!("{{{}}}", fields.join(",")).into_bytes()
}

#[test]
fn the_order_of_keys_does_not_matter() {
    for name in ["done", "denied", "http-401", "max-turns", "background"] {
        let lines = recorded(name);
        let (mut one, mut other) = (Session::default(), Session::default());
        for line in lines.split(|byte| *byte == b'\n') {
            one.on_line(line);
            other.on_line(&reversed(line));
        }
        assert_eq!(judged(&one, 0), judged(&other, 0), "{name}");
        assert_eq!(one.usage(), other.usage(), "{name}");
    }
}

/// Any JSON, with the words of the protocol in it more often than chance would put them there.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "result",
        "system",
        "init",
        "success",
        "api_error",
        "api_retry",
        "tasks",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "type",
        "subtype",
        "is_error",
        "terminal_reason",
        "api_error_status",
        "error_status",
        "usage",
        "modelUsage",
        "inputTokens",
        "input_tokens",
        "num_turns",
        "total_cost_usd",
        "permission_denials",
        "tasks",
        "result",
    ])
    .prop_map(String::from)
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec((key(), value()), 0..8).prop_map(|fields| {
            let object: Map<String, Value> = fields.into_iter().collect();
            Value::Object(object).to_string().into_bytes()
        }),
    ]
}

/// Whether this line, read without any of our code's help, is a good result.
fn is_good(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|line| {
        line["type"] == "result" && line["subtype"] == "success" && line["is_error"] == false
    })
}

proptest! {
    #[test]
    fn no_lines_make_it_panic_or_succeed_without_a_good_result(
        lines in prop::collection::vec(line(), 0..12),
        code in -1..3_i32,
    ) {
        let mut session = Session::default();
        lines.iter().for_each(|line| session.on_line(line));
        let cause = judged(&session, code);
        let completed = cause.state() == AgentState::Completed;
        prop_assert!(!completed || (code == 0 && lines.iter().any(|line| is_good(line))), "{cause}");
    }

    #[test]
    fn no_damage_to_a_recorded_run_makes_it_panic_or_a_failure_a_success(
        name in prop::sample::select(vec!["http-401", "max-turns", "sigint", "no-key"]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut lines = recorded(name);
        let at = at.index(lines.len());
        lines[at] = byte;
        let cause = judged(&session(&lines), 0);
        prop_assert!(cause.state() == AgentState::Failed, "{cause}");
    }
}
