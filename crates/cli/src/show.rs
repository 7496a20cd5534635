//! How agents, events and endings look to people. Pure: turns views into lines.

use crate::{
    quantity::{show_size, show_span},
    view::{
        agent::{AgentView, SpecView},
        cleanup::CleanupView,
        event::EventView,
    },
};
use jiff::Timestamp;
use mosaic_common::agent::Usage;

/// Shown where there is nothing.
pub(crate) const NONE: &str = "-";

/// A time in whole seconds; finer is for `--json`.
pub(crate) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || NONE.to_owned(),
        |time| time.strftime("%FT%TZ").to_string(),
    )
}

/// A text, or what stands for none.
pub(crate) fn text(text: Option<&str>) -> String {
    text.unwrap_or(NONE).to_owned()
}

/// An event on one line.
pub(crate) fn event(event: &EventView) -> String {
    let mut line = format!(
        "{}  {}  {}  {}",
        time(event.timestamp),
        event.site,
        event.agent_id,
        event.r#type
    );
    if let Some(cause) = &event.cause {
        line.push_str(&format!("  ({cause})"));
    }
    if let Some(used) = &event.usage {
        line.push_str(&format!("  ({})", usage(used)));
    }
    if let Some(report) = &event.cleanup {
        let steps = report
            .steps()
            .map(|(name, step)| format!("{name} {}", step.outcome));
        line.push_str(&format!("  ({})", steps.join(", ")));
    }
    line
}

/// An agent as names and values, one a line.
pub(crate) fn agent(agent: &AgentView) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("agent", agent.agent_id.clone()),
        ("task id", agent.task_id.clone()),
        ("site", agent.site.clone()),
        ("state", agent.state.to_owned()),
    ];
    let cause = agent.cause.as_ref().map(ToString::to_string);
    lines.extend(cause.map(|cause| ("cause", cause)));
    lines.extend([
        ("repository", text(agent.spec.repository.as_deref())),
        ("base ref", text(agent.spec.base_ref.as_deref())),
        ("profile", text(agent.spec.profile.as_deref())),
        ("sandbox", text(agent.sandbox.as_deref())),
        ("limits", limits(&agent.spec)),
        ("labels", labels(&agent.spec)),
        ("connection", text(agent.connection.as_deref())),
        ("command", agent.command_id.clone()),
        ("created", time(agent.created)),
        ("started", time(agent.started)),
        ("ended", time(agent.ended)),
    ]);
    lines.extend(agent.usage.as_ref().map(|used| ("usage", usage(used))));
    lines.extend(agent.cleanup.iter().flat_map(cleanup));
    lines.extend(agent.spec.task.clone().map(|task| ("task", task)));
    lines
}

/// What an ending did, as names and values.
pub(crate) fn cleanup(report: &CleanupView) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> = report
        .steps()
        .into_iter()
        .map(|(_, step)| step)
        .zip(["end: sandbox", "end: rescue", "end: worktree", "end: state"])
        .map(|(step, name)| (name, format!("{} {}", step.outcome, step.detail)))
        .collect();
    if let (Some(commit), Some(place)) = (&report.rescue_commit, &report.rescue_ref) {
        lines.push(("rescued", format!("{commit} at {place}")));
    }
    if let Some(next) = report.next_attempt {
        let (next, attempts) = (time(Some(next)), report.attempts);
        lines.push(("next attempt", format!("{next}, after {attempts}")));
    }
    if let Some(kept) = &report.quarantine {
        let until = time(kept.until);
        lines.push(("quarantine", format!("{} until {until}", kept.path)));
    }
    if report.ignored_files > 0 {
        lines.push((
            "ignored",
            format!("{} files left out", report.ignored_files),
        ));
    }
    lines
}

/// What was used: turns, tokens read (and how many of them a cache had) and written, dollars.
fn usage(used: &Usage) -> String {
    let cached = used
        .cache_read_tokens
        .saturating_add(used.cache_write_tokens);
    format!(
        "{} turns, {} tokens in ({cached} by cache), {} out, about {}.{:06} dollars",
        used.turns,
        used.input_tokens.saturating_add(cached),
        used.output_tokens,
        used.cost_micros / 1_000_000,
        used.cost_micros % 1_000_000,
    )
}

fn limits(spec: &SpecView) -> String {
    let limits = &spec.limits;
    let cpus = |millis: u32| format!("{}.{:03} cpus", millis / 1000, millis % 1000);
    let parts = [
        limits.memory_bytes.map(show_size),
        limits.cpu_millis.map(cpus),
        limits.pids.map(|pids| format!("{pids} pids")),
        limits
            .wall_clock_seconds
            .map(|s| format!("{} in all", show_span(s))),
        limits
            .idle_seconds
            .map(|s| format!("{} idle", show_span(s))),
        limits
            .disk_bytes
            .map(|bytes| format!("{} on the disk", show_size(bytes))),
    ];
    listed(parts.into_iter().flatten())
}

fn labels(spec: &SpecView) -> String {
    listed(
        spec.labels
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    )
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    let text = parts.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        NONE.to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::proto::agent::v1 as pb;

    #[test]
    fn an_event_says_when_where_who_and_what() {
        let view = EventView::from(pb::Event {
            r#type: "agent.failed".into(),
            site: "lab".into(),
            agent_id: "ag_x".into(),
            time: Some(prost_types::Timestamp::default()),
            cause: Some((&mosaic_common::agent::Cause::Exit { code: 3 }).into()),
            ..Default::default()
        });
        let expected = "1970-01-01T00:00:00Z  lab  ag_x  agent.failed  (exit code 3)";
        assert_eq!(event(&view), expected);
    }

    #[test]
    fn usage_is_told_in_tokens_and_dollars() {
        let view = AgentView::from(pb::Agent {
            usage: Some(pb::Usage {
                input_tokens: 20,
                output_tokens: 10,
                cache_read_tokens: 8,
                cache_write_tokens: 6,
                cost_micros: 1_000_235,
                turns: 2,
            }),
            ..Default::default()
        });
        let lines = agent(&view);
        let (_, told) = lines.iter().find(|(name, _)| *name == "usage").unwrap();
        assert_eq!(
            told,
            "2 turns, 34 tokens in (14 by cache), 10 out, about 1.000235 dollars"
        );
    }

    #[test]
    fn what_is_not_there_is_shown_as_such() {
        let lines = agent(&AgentView::from(pb::Agent::default()));
        let of = |name| {
            lines
                .iter()
                .find(|(key, _)| *key == name)
                .unwrap()
                .1
                .as_str()
        };
        assert_eq!(
            (of("repository"), of("limits"), of("ended")),
            (NONE, NONE, NONE)
        );
    }
}
