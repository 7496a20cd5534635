//! `mosaic kill-all`: the button that stops everything, and keeps it stopped.

use super::{Context, command_id, site};
use crate::{
    client::patient,
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    retry, show,
    view::kill::KillAllView,
};
use mosaic_common::{Alias, CommandId, proto::agent::v1 as pb};
use std::time::Duration;

/// Where, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct KillAllArgs {
    /// Only at this site; without it, at every site of the hub
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Makes a later repeat the same request: 32 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    command_id: Option<CommandId>,
}

/// Kills every agent and latches.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: KillAllArgs, context: &Context) -> Result<Exit, Failure> {
    let request = pb::KillAllRequest {
        site: site(args.site.as_ref()),
        command_id: command_id(args.command_id),
        reason: args.reason,
    };
    let agents = context.client()?.agents;
    let answer = retry::call(|| {
        let (mut agents, request) = (agents.clone(), patient(request.clone(), Duration::ZERO));
        async move { agents.kill_all(request).await }
    });
    let waiting = context.console.waiting("waiting until all are seen dead");
    let view = KillAllView::from(answer.await?.into_inner());
    drop(waiting);
    match context.console.form() {
        Form::Json => context.console.object(&view)?,
        Form::Human => print(context, &view)?,
    }
    Ok(if view.is_proved() {
        Exit::Done
    } else {
        Exit::KillNotProved
    })
}

fn print(context: &Context, view: &KillAllView) -> Result<(), Failure> {
    let rows: Vec<Row> = view
        .results
        .iter()
        .map(|row| Row {
            paint: Paint::of_state(row.outcome),
            cells: vec![
                row.agent_id.clone(),
                row.site.clone(),
                row.outcome.to_owned(),
                show::text(row.detail.as_deref()),
            ],
        })
        .collect();
    if rows.is_empty() {
        context.console.note("no agent was alive");
    } else {
        context
            .console
            .table(&["AGENT", "SITE", "OUTCOME", "DETAIL"], rows)?;
    }
    for silent in &view.unreachable {
        let text = format!(
            "{} did not answer and may not be stopped: {}",
            silent.site, silent.detail
        );
        context.console.line(Paint::Bad, &text)?;
    }
    for site in &view.latched_in_memory {
        let text = format!("{site} cannot use its store: should it restart now, it is not latched");
        context.console.line(Paint::Bad, &text)?;
    }
    context
        .console
        .note("new agents are refused until `mosaic release`");
    Ok(())
}
