//! Three rounds of `kill -9`; with `MOSAIC_CHAOS_ROUNDS=100` a hundred.

use crate::{can_run, chaos, has_docker, size};

#[test]
fn whoever_is_killed_under_load_everything_is_well_afterwards() {
    if !can_run() {
        return;
    }
    let rounds = size("MOSAIC_CHAOS_ROUNDS", "3");
    let seed = size("MOSAIC_CHAOS_SEED", "1");
    let mut arguments = vec!["kill", "--rounds", &rounds, "--seed", &seed];
    if !has_docker() {
        arguments.push("--no-docker");
    }
    chaos(&arguments);
}
