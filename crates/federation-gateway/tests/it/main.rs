//! The hub as its clients see it: the real server, listener and store, over links to strict
//! fakes that sign what they say.

mod access;
mod acts;
mod bad_input;
mod errors_page;
mod fan_out;
mod program;
mod spoke;
mod streams;
mod trust;
mod world;
