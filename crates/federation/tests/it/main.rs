//! Hub and spoke in one process, over real TLS on the loopback interface.

mod clock;
mod cross;
mod grant;
mod peers;
mod proof;
mod receipts;
mod records;
mod repeats;
mod resumption;
mod store;
mod streams;
mod world;
