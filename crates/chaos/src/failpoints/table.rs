//! What came of every point, as a table.

use super::Point;
use crate::drive::Outcome;
use crate::finding::{Fault, Finding};
use std::collections::BTreeMap;
use std::time::Duration;

/// What came of one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Runs.
    pub runs: usize,
    /// Runs in which a process died there.
    pub reached: usize,
    /// Runs at the first hit in which none did.
    pub missed: usize,
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// Runs that never came to their end, and why.
    pub stuck: Vec<String>,
    /// The longest recovery.
    pub slowest: Duration,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<String, Row>);

impl Table {
    /// Empty rows for these points.
    #[must_use]
    pub fn of(points: &[Point]) -> Self {
        let rows = points
            .iter()
            .map(|point| (point.name.clone(), Row::default()));
        Self(rows.collect())
    }

    /// Adds a run. `must_reach`: the point must have been reached in it.
    pub fn add(&mut self, point: &str, outcome: &Outcome, must_reach: bool) {
        let row = self.0.entry(point.to_owned()).or_default();
        row.runs += 1;
        row.reached += usize::from(outcome.reached);
        row.missed += usize::from(must_reach && !outcome.reached);
        row.findings.extend(outcome.findings.iter().cloned());
        row.slowest = row.slowest.max(outcome.recovery);
    }

    /// Adds a run that never came to its end.
    pub fn stuck(&mut self, point: &str, why: String) {
        let row = self.0.entry(point.to_owned()).or_default();
        row.runs += 1;
        row.stuck.push(why);
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.0.values().map(|row| row.runs).sum()
    }

    /// What makes this a failure, one line each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (name, row) in &self.0 {
            failures.extend(
                row.findings
                    .iter()
                    .map(|finding| format!("{name}: {finding}")),
            );
            failures.extend(row.stuck.iter().map(|why| format!("{name}: stuck: {why}")));
            if row.reached == 0 {
                failures.push(format!("{name}: no scenario reached it"));
            }
        }
        failures
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "| point | runs | reached | leaks | duplicates | lost | untrue | unsettled | slowest recovery |\n\
                        |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
        let mut sum = Row::default();
        for (name, row) in &self.0 {
            line(&mut text, &format!("`{name}`"), row);
            sum.runs += row.runs;
            sum.reached += row.reached;
            sum.findings.extend(row.findings.iter().cloned());
            sum.stuck.extend(row.stuck.iter().cloned());
            sum.slowest = sum.slowest.max(row.slowest);
        }
        line(&mut text, "**all**", &sum);
        text
    }
}

fn line(text: &mut String, name: &str, row: &Row) {
    let count = |fault| row.findings.iter().filter(|of| of.fault == fault).count();
    *text += &format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} ms |\n",
        row.runs,
        row.reached,
        count(Fault::Leak),
        count(Fault::Duplicate),
        count(Fault::Lost),
        count(Fault::Untrue),
        count(Fault::Unsettled) + row.stuck.len(),
        row.slowest.as_millis()
    );
}
