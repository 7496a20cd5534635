//! Each failpoint once; with `MOSAIC_CHAOS_RUNS=1000` a thousand crashes, spread over them.

use crate::{can_run, chaos, has_docker, size};

#[test]
fn a_crash_at_any_failpoint_leaves_nothing_loses_nothing_and_runs_nothing_twice() {
    if !can_run() {
        return;
    }
    let runs = size("MOSAIC_CHAOS_RUNS", "0");
    let mut arguments = vec!["failpoints", "--runs", &runs];
    if !has_docker() {
        arguments.push("--no-docker");
    }
    let table = chaos(&arguments);
    assert!(table.contains("**all**"), "{table}");
}
