//! `mosaic result`: shows what an agent left.

mod bundle;

use super::{AgentArgs, Context};
use crate::{
    console::{Console, Form, Paint},
    escape::StreamEscaper,
    exit::Exit,
    failure::Failure,
    view::result::{CommitView, PatchLine, ResultView},
};
use mosaic_common::proto::agent::v1 as pb;
use pb::result_response::Item;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use tonic::Streaming;

/// Whose, and how much.
#[derive(Debug, clap::Args)]
pub(crate) struct ResultArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// The patch from base to the last commit, ready for `git apply`
    #[arg(long, conflicts_with = "stat")]
    patch: bool,
    /// The numbers only
    #[arg(long)]
    stat: bool,
    /// Write its commits to this file, as a bundle that `git fetch` reads
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stat", "patch"])]
    bundle: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "bundle")]
    force: bool,
}

/// Shows what an agent left.
///
/// # Errors
/// If it is refused, not there yet, or if nobody could be reached. A patch that breaks off
/// is an error too: what was printed of it is not whole.
pub(crate) async fn run(args: &ResultArgs, context: &Context) -> Result<Exit, Failure> {
    let format = match (&args.bundle, args.patch) {
        (Some(_), _) => pb::ResultFormat::Bundle,
        (None, true) => pb::ResultFormat::Patch,
        (None, false) => pb::ResultFormat::Summary,
    };
    let request = pb::ResultRequest {
        site: args.agent.site(),
        agent_id: args.agent.agent.to_string(),
        format: format.into(),
    };
    let answer = context.client()?.agents.result(request).await?;
    let items = answer.into_inner();
    if let Some(place) = &args.bundle {
        bundle::write(context, place, args.force, items).await?;
        return Ok(Exit::Done);
    }
    if args.patch {
        print_patch(context.console, items).await?;
        return Ok(Exit::Done);
    }
    let mut view = read_summary(items).await?;
    if args.stat {
        view.commits = None;
    }
    match context.console.form() {
        Form::Json => context.console.object(&view)?,
        Form::Human => print_summary(context.console, &view)?,
    }
    Ok(Exit::Done)
}

async fn read_summary(mut items: Streaming<pb::ResultResponse>) -> Result<ResultView, Failure> {
    let (mut summary, mut commits) = (None, Vec::new());
    while let Some(response) = items.message().await? {
        match response.item {
            Some(Item::Summary(wire)) => summary = Some(ResultView::from(wire)),
            Some(Item::Commit(wire)) => commits.push(CommitView::from(wire)),
            // Not asked for; from a newer server there may be more kinds.
            Some(Item::Patch(_) | Item::Bundle(_)) | None => {}
        }
    }
    let mut view = summary.ok_or(Failure::Answer("summary"))?;
    view.commits = Some(commits);
    Ok(view)
}

fn print_summary(console: Console, view: &ResultView) -> Result<(), Failure> {
    let numbers = format!(
        "{} files changed, {} insertions, {} deletions, {} commits",
        view.files_changed, view.insertions, view.deletions, view.commit_count
    );
    console.line(Paint::Plain, &numbers)?;
    let Some(commits) = &view.commits else {
        return Ok(());
    };
    let place = format!(
        "{} at {} (from {})",
        view.rescue_commit, view.rescue_ref, view.base_commit
    );
    console.line(Paint::Faint, &place)?;
    for commit in commits {
        let short: String = commit.id.chars().take(10).collect();
        let rescue = if commit.rescue { " [rescued]" } else { "" };
        let text = format!("{short}{rescue} {} ({})", commit.subject, commit.author);
        console.line(Paint::Plain, &text)?;
    }
    Ok(())
}

/// Prints the patch as it comes: exactly where a program reads it, escaped on a terminal.
async fn print_patch(
    console: Console,
    mut items: Streaming<pb::ResultResponse>,
) -> Result<(), Failure> {
    let mut escaper = stdout().is_terminal().then(StreamEscaper::default);
    while let Some(response) = items.message().await? {
        let Some(item) = response.item else { continue };
        match (item, console.form()) {
            (item, Form::Json) => {
                if let Some(line) = line(item) {
                    console.object(&line)?;
                }
            }
            (Item::Patch(bytes), Form::Human) => match &mut escaper {
                Some(escaper) => console.bytes(escaper.push(&bytes).as_bytes())?,
                None => console.bytes(&bytes)?,
            },
            (Item::Summary(_) | Item::Commit(_) | Item::Bundle(_), Form::Human) => {}
        }
    }
    let rest = escaper.map(|mut escaper| escaper.finish());
    console.bytes(rest.unwrap_or_default().as_bytes())
}

fn line(item: Item) -> Option<PatchLine> {
    match item {
        Item::Summary(wire) => Some(PatchLine::Summary(wire.into())),
        Item::Commit(wire) => Some(PatchLine::Commit(wire.into())),
        Item::Patch(bytes) => Some(PatchLine::Patch(bytes.as_ref().into())),
        Item::Bundle(_) => None, // not asked for
    }
}
