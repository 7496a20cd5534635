//! Hub and spoke in one process, over real TLS on the loopback interface.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may

mod clock;
mod cross;
mod grant;
mod peers;
mod proof;
mod receipts;
mod records;
mod repeats;
mod resumption;
mod streams;
mod world;
