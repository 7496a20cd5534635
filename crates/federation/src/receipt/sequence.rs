//! Numbers for receipts that rise for ever, also over restarts, without a write for each.

use mosaic_common::Alias;
use mosaic_store::{Error, StateStore, Table, Write};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// How many numbers one write reserves. A restart skips what is left of them; at a thousand
/// commands a second that is still one write a second.
const BLOCK: u64 = 1000;

/// The numbers of every connection.
#[derive(Debug)]
pub(super) struct Sequences {
    store: Arc<dyn StateStore>,
    blocks: Mutex<HashMap<Alias, Block>>,
}

/// Numbers above `last` up to `reserved` may be given without a write.
#[derive(Debug, Clone, Copy)]
struct Block {
    last: u64,
    reserved: u64,
}

impl Sequences {
    pub(super) fn new(store: Arc<dyn StateStore>) -> Self {
        Self {
            store,
            blocks: Mutex::default(),
        }
    }

    /// The next number of a connection.
    ///
    /// # Errors
    /// If the store cannot be used and no reserved number is left.
    pub(super) async fn next(&self, connection: &Alias) -> Result<u64, Error> {
        let mut blocks = self.blocks.lock().await;
        let key = format!("receipt-sequence/{connection}");
        let mut block = match blocks.get(connection) {
            Some(block) => *block,
            None => {
                let last = self.reserved_before(&key).await?;
                Block {
                    last,
                    reserved: last,
                }
            }
        };
        if block.last == block.reserved {
            let reserved = block.reserved + BLOCK;
            let value = reserved.to_string().into_bytes();
            self.store
                .apply(vec![Write::Put(Table::Meta, key, value)])
                .await?;
            block.reserved = reserved;
        }
        block.last += 1;
        blocks.insert(connection.clone(), block);
        Ok(block.last)
    }

    async fn reserved_before(&self, key: &str) -> Result<u64, Error> {
        let Some(value) = self.store.get(Table::Meta, key).await? else {
            return Ok(0);
        };
        let text = std::str::from_utf8(&value).map_err(|error| Error::Read(error.into()))?;
        text.parse()
            .map_err(|error: std::num::ParseIntError| Error::Read(error.into()))
    }
}
