//! Forgets what has been kept long enough: events, records, receipts, and agents with their output.
//! Rescued work is never forgotten here; work in quarantine is, when its time is over.

use crate::config::Retention;
use crate::journal::{Journal, unavailable};
use crate::lifecycle::{Agents, Deps};
use jiff::{SignedDuration, Timestamp};
use mosaic_common::agent::{AgentRecord, Step};
use mosaic_common::in_full;
use mosaic_federation::ledger::Ledger;
use mosaic_federation::record::Records;
use mosaic_store::{Error, Table, Write, retention::forget_before};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

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
            expire_quarantine(&agents).await?;
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

/// Deletes work whose time in quarantine is over.
pub(crate) async fn expire_quarantine(agents: &Agents) -> Result<(), Error> {
    let Deps {
        journal, worktrees, ..
    } = agents.deps();
    let now = journal.now();
    let mut before = None;
    loop {
        let page = journal.scan(before, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        before = Some(*last);
        for (_, record) in page {
            let Some(after) = released(&record, now) else {
                continue;
            };
            let repository = record.spec.repository.as_ref();
            if let Err(error) = worktrees.expire(record.id(), repository).await {
                warn!(agent.id = %record.id(), error = %in_full(&error), "its quarantine cannot be emptied");
                continue; // tried again at the next turn
            }
            journal.publish(&after, &[after.cleanup_event(now)]).await?;
        }
    }
}

/// The record as it stands once its quarantine is over; `None` while it is not.
fn released(record: &AgentRecord, now: Timestamp) -> Option<AgentRecord> {
    let mut after = record.clone();
    let report = after.cleanup.as_mut()?;
    let kept = report.quarantine.take_if(|kept| kept.until <= now)?;
    let why = &report.rescue.detail;
    report.rescue = Step::skipped(format!("{why}; it was kept until {}", kept.until));
    report.worktree = Step::done("deleted after its time in quarantine");
    Some(after)
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
        let is_clean = |record: &AgentRecord| {
            let report = record.cleanup.as_ref();
            report.is_none_or(|report| report.is_clean() && report.quarantine.is_none())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_leaves_quarantine_when_its_time_is_over_and_not_before() {
        let record: AgentRecord = serde_json::from_value(serde_json::json!({
            "spec": {"agentId": "ag_aaaaaaaaaaaaaaaaaaaaaaaaaa", "taskId": "t-1", "task": "do it", "limits": {}, "labels": {}},
            "site": "here", "state": "completed", "commandId": "0197f2a4000070008000000000000000",
            "created": "2026-11-01T00:00:00Z",
            "cleanup": {
                "sandbox": {"outcome": "done", "detail": "gone"},
                "rescue": {"outcome": "failed", "detail": "too large"},
                "worktree": {"outcome": "done", "detail": "moved to quarantine"},
                "state": {"outcome": "done", "detail": "archived"},
                "rescueCommit": null, "baseCommit": null, "ignoredFiles": 0,
                "quarantine": {
                    "path": "/q/a-1", "since": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z",
                },
            },
        }))
        .unwrap();
        let until = record
            .cleanup
            .as_ref()
            .unwrap()
            .quarantine
            .as_ref()
            .unwrap()
            .until;
        assert_eq!(
            released(&record, until - SignedDuration::from_secs(1)),
            None
        );
        let after = released(&record, until).unwrap();
        let report = after.cleanup.as_ref().unwrap();
        assert!(report.quarantine.is_none() && report.is_clean());
        assert!(report.rescue.detail.contains("too large"), "{report:?}");
        assert_eq!(released(&after, until), None, "once");
    }
}
