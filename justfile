# The habits of this repository, one recipe each. `scripts/test` runs them all, and CI runs that.

export PATH := justfile_directory() / ".cache/venv/bin" + ":" + env("PATH")

# Lists the recipes.
help:
    @just --list --unsorted

# Everything a merge needs, as CI runs it.
all:
    scripts/test

# Builds everything, in the development profile.
build:
    cargo build --workspace --all-targets --locked

# Every test of the workspace. With nextest each has its own process and a bounded life.
test:
    #!/usr/bin/env bash
    set -euo pipefail
    # Programs that tests start as processes of their own have to be there first.
    cargo build --workspace --bins --locked
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --profile "${NEXTEST_PROFILE:-default}"
    else
        cargo test --workspace --locked --lib --bins --tests
    fi

# How many lines the tests run; fails where the parts that must not fail have too few.
coverage *what:
    scripts/coverage {{what}}

# The examples in the documentation.
doctest:
    cargo test --workspace --locked --doc

# An independent client, in Python, against the hub and spoke that the environment names.
python:
    tests/python/run

# The story of the README: a hub, two spokes, and agents that leave nothing behind. What is shipped has no failpoint.
demo:
    cargo run --release --locked --bin mosaic -- demo
    test "$(grep -c MOSAIC_FAILPOINT "${CARGO_TARGET_DIR:-target}/release/mosaic")" = 0

# What Mosaic costs against what it is built on. Wants a quiet machine and ten to twenty minutes; takes the flags of `bench`.
bench *FLAGS:
    cargo run --release --locked -p bench -- {{FLAGS}}

# The same, and puts the table into docs/benchmarks.md.
bench-docs *FLAGS:
    scripts/bench-docs {{FLAGS}}

# A crash at every failpoint, and what is left then; takes the flags of `chaos failpoints`, such as `--runs 1000`.
chaos-failpoints *FLAGS:
    cargo run --locked -p chaos -- failpoints {{FLAGS}}

# Kills hub, spoke, supervisors and Valkey at random under load; takes the flags of `chaos kill`, such as `--rounds 100 --seed 7`.
chaos-kill *FLAGS:
    cargo run --locked -p chaos -- kill {{FLAGS}}

# Runs agents for long with a fault every minute, and fails where anything grows; takes the flags of `chaos soak`, such as `--minutes 60`.
soak *FLAGS:
    cargo run --locked -p chaos -- soak {{FLAGS}}

# The images of docker-compose.yml: mosaic-hub, mosaic-spoke, mosaic-agent. BASE names what they are built on.
images profile="release":
    cargo build --profile {{ profile }} --locked --bin mosaic
    scripts/images "${CARGO_TARGET_DIR:-target}/{{ if profile == "dev" { "debug" } else { profile } }}/mosaic"

# Is the code formatted?
fmt:
    cargo fmt --all --check

# Clippy, with warnings as errors.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Does the documentation build, with every link alive?
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, banned and doubled crates, and where they come from.
deny:
    cargo deny --locked check -D unmatched-skip licenses bans sources

# Is the protocol well formed, and still compatible with what was merged before?
proto:
    buf lint
    scripts/proto-breaking

# Who may use whom, where each library is imported, which side effect lacks a failpoint; and do the checks still bite?
invariants:
    scripts/invariants
    scripts/invariants-test
    scripts/failpoints --check
    scripts/failpoints-test

# Writes docs/failpoints.md, the table of failpoints.
failpoints:
    scripts/failpoints
