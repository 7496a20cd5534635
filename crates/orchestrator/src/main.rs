//! The spoke's program.
fn main() {}
