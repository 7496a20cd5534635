//! Forgets what has been kept long enough: events, records, receipts, and agents with their output.
//! Rescued work is never forgotten here.

use crate::config::Retention;
use crate::journal::{Journal, unavailable};
use crate::lifecycle::{Agents, Deps};
use jiff::{SignedDuration, Timestamp};
use mosaic_federation::ledger::Ledger;
use mosaic_federation::record::Records;
use mosaic_store::{Error, Table, Write, retention::forget_before};
use std::sync::Arc;
use std::time::Duration;

/// How often: an hour more of a record harms nobody, and a look costs a few reads.
const EVERY: Duration = Duration::from_secs(3600);

/// How far above its bound the event log may be: a tenth. Then it is shortened at once, however
/// fast events come.
const SLACK: u64 = 10;

/// Rows read at once.
const PAGE: usize = 500;

/// Forgets, now, every hour, and when many events have come, for ever.
pub(crate) async fn keep(agents: Agents, records: Records, ledger: Arc<Ledger>, policy: Retention) {
    let journal = &agents.deps().journal;
    loop {
        let limit = journal.now() - SignedDuration::from_hours(24 * i64::from(policy.ended_days));
        let forgotten = async {
            forget_events(journal, policy.events).await?;
            forget_agents(&agents, limit).await?;
            records.forget(limit).await?;
            ledger
                .forget(|agent| agents.watch(agent).is_some())
                .await
                .map(drop)
        };
        if let Err(error) = forgotten.await {
            drop(unavailable(&error)); // logged; tried again at the next turn
        }
        let mut head = journal.head();
        let enough = head.borrow().saturating_add(policy.events / SLACK + 1);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            Ok(_) = head.wait_for(|head| *head >= enough) => {}
        }
    }
}

async fn forget_events(journal: &Journal, keep: u64) -> Result<(), Error> {
    let head = *journal.head().borrow();
    match forget_before(head, keep) {
        Some(last) => journal
            .store()
            .apply(vec![Write::ForgetEvents(last)])
            .await
            .map(drop),
        None => Ok(()),
    }
}

/// Forgets agents that ended before `limit` and were cleaned up.
async fn forget_agents(agents: &Agents, limit: Timestamp) -> Result<(), Error> {
    let Deps {
        journal, spawner, ..
    } = agents.deps();
    let mut before = None;
    loop {
        let page = journal.scan(before, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        before = Some(*last);
        let is_clean = |record: &mosaic_common::agent::AgentRecord| {
            record
                .cleanup
                .as_ref()
                .is_none_or(|report| report.is_clean())
        };
        let old = page.iter().map(|(_, record)| record).filter(|record| {
            record.state.is_final()
                && is_clean(record)
                && record.ended.is_some_and(|ended| ended < limit)
        });
        let mut gone = Vec::new();
        for record in old {
            drop(tokio::fs::remove_file(spawner.output_file(&record.spec)).await); // it may have had none
            gone.push(Write::Delete(Table::Agents, record.id().to_string()));
        }
        if !gone.is_empty() {
            journal.store().apply(gone).await?;
        }
    }
}
