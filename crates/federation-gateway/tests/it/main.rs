//! The hub as its clients see it: the real server, listener and store, over links to strict
//! fakes that sign what they say.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed assumption is a failed test

mod access;
mod acts;
mod bad_input;
mod errors_page;
mod examples;
mod fan_out;
mod program;
mod settling;
mod spoke;
mod streams;
mod trust;
mod world;
