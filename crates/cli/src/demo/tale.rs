//! What the demo prints. Agents' text is escaped: it reaches a terminal.

use super::cast::Cast;
use super::claims::{Spawned, Work};
use super::scene::Scene;
use crate::console::Form;
use crate::escape::{Layout, escape};
use crate::inventory::Inventory;
use crate::json;
use mosaic_common::proto::agent::v1 as pb;
use serde::Serialize;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

/// Tells the demo's tale, as long as somebody listens.
pub(super) struct Tale {
    act: usize,
    form: Form,
    colour: bool,
}

/// What a line is, for programs.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Title,
    Act,
    Note,
    Warning,
    /// Something that was checked, and holds.
    Claim,
    /// What does not hold. Nothing but logs follows.
    Failure,
    /// Everything held.
    End,
}

/// A line, for programs.
#[derive(Debug, Serialize)]
struct Line<'a> {
    r#type: Kind,
    text: &'a str,
}

impl Tale {
    pub(super) fn new(form: Form) -> Self {
        let is_seen = form == Form::Human && stdout().is_terminal();
        Self {
            act: 0,
            form,
            colour: is_seen && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    pub(super) fn title(&self, text: &str) {
        self.line(Kind::Title, text, &self.paint("1", text));
    }

    pub(super) fn act(&mut self, text: &str) {
        self.act += 1;
        let numbered = format!("{}. {text}", self.act);
        let human = format!("\n{}", self.paint("1", &numbered));
        self.line(Kind::Act, text, &human);
    }

    pub(super) fn say(&self, text: &str) {
        self.line(Kind::Note, text, &format!("   {text}"));
    }

    pub(super) fn warn(&self, text: &str) {
        let human = format!(" {} {text}", self.paint("33", "!"));
        self.line(Kind::Warning, text, &human);
    }

    /// Something that was checked, and holds.
    pub(super) fn claim(&self, text: &str) {
        let human = format!(" {} {text}", self.paint("32", "✓"));
        self.line(Kind::Claim, text, &human);
    }

    pub(super) fn failed(&self, error: &anyhow::Error) {
        let text = format!("{error:#}");
        let human = format!("\n {} {text}", self.paint("31", "✗ the demo failed:"));
        self.line(Kind::Failure, &text, &human);
    }

    pub(super) fn end(&self, took: Duration) {
        let text = format!("Everything held, in {:.1} seconds.", took.as_secs_f32());
        let human = format!(
            "\n{} Next: `mosaic up`, and docs/cli.md.",
            self.paint("1", &text)
        );
        self.line(Kind::End, &text, &human);
    }

    pub(super) fn cast(&self, scene: &Scene, cast: &Cast) {
        for (name, pid) in cast.players() {
            let role = if name == "hub" { "hub  " } else { "spoke" };
            self.say(&format!(
                "{role} {name:<6} process {pid:<8} {}",
                scene.place(name)
            ));
        }
        self.claim("three processes, three identities; hub and spokes know each other by pinned keys (TLS 1.3)");
    }

    pub(super) fn spawned(&self, agent: &Spawned) {
        self.say(&format!(
            "{:<17} at {:<6} {}  command {}",
            agent.task, agent.site, agent.agent_id, agent.command_id
        ));
    }

    pub(super) fn inventory(&self, who: &str, seen: &Inventory) {
        self.say(&format!("{who}:"));
        let counts: Vec<String> = seen
            .rows()
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        self.say(&format!("  {}", counts.join("  ")));
    }

    pub(super) fn output(&self, agent: &Spawned, output: &str) {
        for line in output.lines() {
            self.say(&format!(
                "{} │ {}",
                agent.task,
                escape(line, Layout::OneLine)
            ));
        }
    }

    pub(super) fn patch(&self, work: &Work) {
        self.claim(&format!(
            "completed: {} commits, {} files, +{} −{}, as a patch:",
            work.summary.commits,
            work.summary.files_changed,
            work.summary.insertions,
            work.summary.deletions
        ));
        for line in work.patch.lines() {
            let colour = match line.as_bytes().first() {
                Some(b'+') => "32",
                Some(b'-') => "31",
                _ => "2",
            };
            self.say(&format!(
                "│ {}",
                self.paint(colour, &escape(line, Layout::OneLine))
            ));
        }
    }

    pub(super) fn killed(&self, agent: &Spawned, after: Option<&pb::Agent>) {
        let report = after.and_then(|agent| agent.cleanup.as_ref());
        let proof = report
            .and_then(|report| report.sandbox.as_ref())
            .map(|step| step.detail.clone());
        self.claim(&format!(
            "{} is dead: {}",
            agent.task,
            proof.unwrap_or_default()
        ));
    }

    pub(super) fn cleanup(&self, agent: &pb::Agent) {
        let Some(report) = &agent.cleanup else { return };
        let step = |step: &Option<pb::CleanupStep>| {
            let outcome = step
                .as_ref()
                .map_or(pb::CleanupOutcome::Unspecified, pb::CleanupStep::outcome);
            outcome
                .as_str_name()
                .trim_start_matches("CLEANUP_OUTCOME_")
                .to_lowercase()
        };
        self.say(&format!(
            "{:<17} {:<9} sandbox {}  rescue {}  worktree {}  state {}",
            agent.task_id,
            agent
                .state()
                .as_str_name()
                .trim_start_matches("AGENT_STATE_")
                .to_lowercase(),
            step(&report.sandbox),
            step(&report.rescue),
            step(&report.worktree),
            step(&report.state),
        ));
        self.say(&format!(
            "  {} {}",
            &report.rescue_ref, &report.rescue_commit
        ));
    }

    pub(super) fn events(&self, alpha: &[pb::Event], beta: &[pb::Event]) {
        for events in [alpha, beta] {
            let Some(first) = events.first() else {
                continue;
            };
            let gapless = events
                .iter()
                .zip(1..)
                .all(|(event, place)| event.sequence == place);
            let text = format!(
                "{}: {} events, {} gap",
                first.site,
                events.len(),
                if gapless { "no" } else { "A" }
            );
            self.say(&text);
        }
    }

    /// The ends of the logs, for whoever has to find out why.
    pub(super) fn logs(&self, scene: &Scene) {
        for name in ["hub", "alpha", "beta"] {
            let log = std::fs::read_to_string(scene.log(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            self.say(&format!("--- {name}"));
            for line in &lines[lines.len().saturating_sub(15)..] {
                self.say(&escape(line, Layout::OneLine));
            }
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A reader that has gone away does not end the demo.
    fn line(&self, r#type: Kind, text: &str, human: &str) {
        drop(match self.form {
            Form::Human => writeln!(stdout(), "{human}"),
            Form::Json => writeln!(stdout(), "{}", json::line(&Line { r#type, text })),
        });
    }
}
