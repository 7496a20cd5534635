//! Proves from outside that a crash costs nothing: kills hub, spoke, supervisors and Valkey at every
//! place and at any moment, lets them come back, and looks whether anything is left, ran twice, is
//! lost, or is told otherwise than it is.
//!
//! The checker knows only what anybody can see: the engine, files, git's refs, control groups,
//! processes, Valkey's keys, and what the spoke answers. It never opens the store. `docs/reliability.md`
//! says how it is run.

pub mod check;
pub mod client;
pub mod console;
pub mod dice;
pub mod drive;
pub mod failpoints;
pub mod finding;
pub mod gauge;
pub mod history;
pub mod judge;
pub mod kill;
pub mod plan;
pub mod scenario;
pub mod seen;
pub mod soak;
pub mod told;
pub mod work;
pub mod world;
