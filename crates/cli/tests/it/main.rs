//! The real `mosaic` program against a server whose answers are scripted.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is a failed test

mod bad_input;
mod compose;
mod demo;
mod federation;
mod hub_crashes;
mod kills;
mod local;
mod network_faults;
mod partition;
mod program;
mod reading;
mod refusals;
mod server;
mod spawning;
mod streams;
mod up;
mod world;
