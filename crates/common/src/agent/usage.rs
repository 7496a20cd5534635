//! What an agent's program says that it has used.

use serde::{Deserialize, Serialize};

/// What an agent's program says that it has used so far, in the turns that it has finished.
///
/// It is the program's own word, and costs are estimates from list prices: good for a picture,
/// not for a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens read that no cache had.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the cache.
    pub cache_write_tokens: u64,
    /// Millionths of a dollar.
    pub cost_micros: u64,
    /// Turns of the model.
    pub turns: u64,
}
