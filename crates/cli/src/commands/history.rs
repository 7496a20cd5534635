//! `mosaic commands`: lists what was asked, and what became of it.

use super::Context;
use crate::{
    client::quick,
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    show,
    view::operator::CommandView,
};
use mosaic_common::{AgentId, proto::federation::v1 as pb};

/// Commands in one answer: as many as a server gives.
const PAGE: u32 = 500;

/// Which commands.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// Only about this agent
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,
    /// At most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Lists recorded commands, page by page.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: &HistoryArgs, context: &Context) -> Result<Exit, Failure> {
    let mut client = context.client()?;
    let mut request = pb::ListCommandsRequest {
        agent_id: args
            .agent
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        page_size: args.limit.min(PAGE),
        page_token: String::new(),
    };
    let (mut left, mut rows) = (args.limit as usize, Vec::new());
    loop {
        let page = client
            .operator
            .list_commands(quick(request.clone()))
            .await?
            .into_inner();
        for command in page.commands.into_iter().take(left).map(CommandView::from) {
            left -= 1;
            match context.console.form() {
                Form::Json => context.console.object(&command)?,
                Form::Human => rows.push(row(&command)),
            }
        }
        // A token that does not change would be asked for ever.
        if left == 0
            || page.next_page_token.is_empty()
            || page.next_page_token == request.page_token
        {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if context.console.form() == Form::Human {
        context.console.table(
            &[
                "CREATED", "COMMAND", "KIND", "SITE", "AGENT", "BY", "OUTCOME", "REASON",
            ],
            rows,
        )?;
    }
    Ok(Exit::Done)
}

fn row(command: &CommandView) -> Row {
    Row {
        paint: Paint::of_state(command.outcome),
        cells: vec![
            show::time(command.created),
            show::text(command.command_id.as_deref()),
            command.kind.clone(),
            command.site.clone(),
            show::text(command.agent_id.as_deref()),
            command.on_behalf_of.clone(),
            command.outcome.to_owned(),
            show::text(command.reason.as_deref()),
        ],
    }
}
