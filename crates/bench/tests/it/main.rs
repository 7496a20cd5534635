//! The report's shape, from a quick run of the real program. No time decides anything here.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

use serde_json::Value;
use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let done = command.arg("--quick").args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{complaint}");
    String::from_utf8(done.stdout).unwrap()
}

fn rows(only: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(&bench(&["--only", only, "--json"])).unwrap();
    assert_eq!(report["machine"]["isQuick"], true);
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    report["rows"].as_array().unwrap().clone()
}

/// Asserts that the row was measured, against a floor, and that its ratio is that of its numbers.
fn assert_ratio(row: &Value) {
    let measured = &row["measured"];
    let (ours, floor) = (&measured["ours"], &measured["floor"]);
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{row:#}"));
    assert!(number(&ours["p50"]) > 0.0 && number(&floor["p50"]) > 0.0);
    assert!(number(&ours["p99"]) >= number(&ours["p50"]));
    let ratio = number(&ours["p50"]) / number(&floor["p50"]);
    assert!((number(&measured["p50AgainstFloor"]) - ratio).abs() < 1e-9);
    assert_eq!(measured["met"], ratio <= number(&measured["aim"]));
    assert_eq!(ours["samples"], floor["samples"]);
}

#[test]
fn worktrees_are_measured_against_git_and_what_is_left_out_has_no_number() {
    let rows = rows("worktree");
    assert_eq!(rows.len(), 2);
    assert_ratio(&rows[0]);
    assert_eq!(rows[1]["notMeasured"], "left out by --quick");
    assert!(rows[1]["measured"].is_null());
}

#[test]
fn a_signed_status_is_measured_against_two_hops_that_really_answer() {
    let rows = rows("status");
    assert_eq!(rows.len(), 2);
    rows.iter().for_each(assert_ratio);
}

#[test]
fn the_table_for_the_documentation_names_the_machine_and_every_column() {
    let table = bench(&["--only", "worktree", "--markdown"]);
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    assert!(
        table.contains("cores") && table.contains("git version"),
        "{table}"
    );
    assert_eq!(lines.len(), 4, "{table}");
    for line in &lines {
        assert_eq!(line.matches(" | ").count(), 7, "{line}");
    }
}
