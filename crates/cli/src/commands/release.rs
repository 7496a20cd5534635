//! `mosaic release`: takes back the latch of `kill-all`.

use super::{Context, command_id, site};
use crate::{
    client::quick,
    console::{Form, Paint},
    exit::Exit,
    failure::Failure,
    retry,
    view::kill::ReleaseView,
};
use mosaic_common::{Alias, CommandId, proto::agent::v1 as pb};

/// Where.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Only at this site; without it, at every site of the hub
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
    /// Makes a later repeat the same request: 32 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    command_id: Option<CommandId>,
}

/// Takes back the latch.
///
/// # Errors
/// If it is refused, if nobody could be reached, or if a site did not answer.
pub(crate) async fn run(args: &ReleaseArgs, context: &Context) -> Result<Exit, Failure> {
    let request = pb::ReleaseRequest {
        site: site(args.site.as_ref()),
        command_id: command_id(args.command_id),
    };
    let agents = context.client()?.agents;
    let answer = retry::call(|| {
        let (mut agents, request) = (agents.clone(), quick(request.clone()));
        async move { agents.release(request).await }
    });
    let view = ReleaseView::from(answer.await?.into_inner());
    match context.console.form() {
        Form::Json => context.console.object(&view)?,
        Form::Human => print(context, &view)?,
    }
    match view.unreachable.len() {
        0 => Ok(Exit::Done),
        silent => Err(Failure::SitesUnreachable(silent)),
    }
}

fn print(context: &Context, view: &ReleaseView) -> Result<(), Failure> {
    if view.released.is_empty() {
        context.console.note("no site was latched");
    }
    for site in &view.released {
        let text = format!("{site} accepts new agents again");
        context.console.line(Paint::Plain, &text)?;
    }
    for silent in &view.unreachable {
        let text = format!("warning: {} did not answer: {}", silent.site, silent.detail);
        context.console.note(&text);
    }
    Ok(())
}
