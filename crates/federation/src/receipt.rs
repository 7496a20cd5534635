//! Receipts: what a spoke signs about a command, and what a hub makes of it.

mod check;
mod make;
mod sequence;

pub use check::{ReceiptChecker, ReceiptError, answer};
pub(crate) use make::Receipts;
