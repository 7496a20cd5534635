//! A minute of load; with `MOSAIC_CHAOS_MINUTES=60` an hour.

use crate::{can_run, chaos, has_docker, size};

#[test]
fn nothing_grows_under_load_and_faults() {
    if !can_run() {
        return;
    }
    let minutes = size("MOSAIC_CHAOS_MINUTES", "1");
    let period = if minutes == "1" { "15" } else { "60" };
    let mut arguments = vec!["soak", "--minutes", &minutes, "--period", period];
    if !has_docker() {
        arguments.push("--no-docker");
    }
    chaos(&arguments);
}
