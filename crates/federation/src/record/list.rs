//! Reading records, page by page, newest first, and forgetting old ones.

use super::{CommandRecord, Outcome, Records};
use jiff::Timestamp;
use mosaic_common::proto::federation::v1 as pb;
use mosaic_common::{AgentId, Reason, Refusal};
use mosaic_store::{Error, Row, Table, Write};

/// Records in a page when the caller does not say.
const PAGE_DEFAULT: u32 = 100;

/// Most records in a page: some hundred KiB of answer.
const PAGE_MAX: u32 = 500;

/// Rows looked at for one page. A search for an agent of long ago then takes more pages,
/// some of them empty, and not all of the store's time.
const SCAN_MAX: usize = 10_000;

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Newest first.
    pub records: Vec<CommandRecord>,
    /// What to pass for the next page; empty: this was the last.
    pub next_page_token: String,
}

impl From<Page> for pb::ListCommandsResponse {
    fn from(page: Page) -> Self {
        Self {
            commands: page.records.iter().map(Into::into).collect(),
            next_page_token: page.next_page_token,
        }
    }
}

impl Records {
    /// Answers a `ListCommands`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a malformed field; `STORE_UNAVAILABLE`.
    pub async fn list(&self, request: &pb::ListCommandsRequest) -> Result<Page, Refusal> {
        let agent = match request.agent_id.as_str() {
            "" => None,
            text => Some(
                text.parse::<AgentId>()
                    .map_err(|error| Refusal::invalid("agent_id", error))?,
            ),
        };
        let before = match request.page_token.as_str() {
            "" => None,
            text => Some(text.parse::<u64>().map_err(|_| {
                Refusal::invalid("page_token", "must be the next_page_token of an answer")
            })?),
        };
        let size = match request.page_size {
            0 => PAGE_DEFAULT,
            wanted => wanted.min(PAGE_MAX),
        };
        self.page(agent.as_ref(), before, size as usize)
            .await
            .map_err(|_| Refusal::new(Reason::StoreUnavailable, "the store cannot be read"))
    }

    async fn page(
        &self,
        agent: Option<&AgentId>,
        mut before: Option<u64>,
        size: usize,
    ) -> Result<Page, Error> {
        let mut page = Page::default();
        let mut seen = 0;
        loop {
            let rows = self.store.scan(Table::Commands, before, size).await?;
            let is_last = rows.len() < size;
            for row in rows {
                before = Some(row.number);
                seen += 1;
                let record = CommandRecord::parse(&row.value);
                let wanted = |record: &CommandRecord| {
                    agent.is_none_or(|agent| record.agent_id.as_ref() == Some(agent))
                };
                page.records.extend(record.filter(wanted));
                if page.records.len() == size || seen == SCAN_MAX {
                    page.next_page_token = row.number.to_string();
                    return Ok(page);
                }
            }
            if is_last {
                return Ok(page);
            }
        }
    }

    /// Removes records that ended before `limit`. Returns how many.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn forget(&self, limit: Timestamp) -> Result<usize, Error> {
        let mut before = None;
        let mut removed = 0;
        loop {
            let rows = self.store.scan(Table::Commands, before, SCAN_MAX).await?;
            let Some(last) = rows.last() else {
                return Ok(removed);
            };
            before = Some(last.number);
            let old: Vec<Write> = rows
                .iter()
                .filter(|row| may_go(row, limit))
                .map(|row| Write::Delete(Table::Commands, row.key.clone()))
                .collect();
            removed += old.len();
            if !old.is_empty() {
                self.store.apply(old).await?;
            }
        }
    }
}

/// Whether a record is older than `limit` and over. One without an outcome is kept as long as
/// its command could still get one, which ends with the first retention that passes it.
fn may_go(row: &Row, limit: Timestamp) -> bool {
    CommandRecord::parse(&row.value).is_none_or(|record| match record.outcome {
        Outcome::Pending => record.created < limit,
        Outcome::Delivered | Outcome::Failed | Outcome::Refused => {
            record.ended.unwrap_or(record.created) < limit
        }
    })
}
