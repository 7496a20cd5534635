//! The real `mosaic` program against a server whose answers are scripted.

mod bad_input;
mod kills;
mod local;
mod program;
mod reading;
mod refusals;
mod server;
mod spawning;
mod streams;
