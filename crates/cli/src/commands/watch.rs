//! `mosaic watch`: follows events, of one agent or of all.

use super::{Context, site};
use crate::{
    console::{Console, Form, Paint},
    exit::Exit,
    failure::Failure,
    follow::{Events, Follow},
    show,
    view::event::{EventView, GapView},
};
use mosaic_common::{AgentId, Alias, proto::agent::v1 as pb};
use pb::watch_response::Item;

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// Only of this agent, until its ending has been carried out
    #[arg(value_name = "ID")]
    agent: Option<AgentId>,
    /// Of this site; a hub with several sites needs it where no agent is named
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
    /// Go on after the event of this `sequence`
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: u64,
    /// Print the events until now, and stop
    #[arg(long)]
    no_follow: bool,
}

/// Prints events from a cursor on, also across broken connections.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: WatchArgs, context: &Context) -> Result<Exit, Failure> {
    let one_agent = args.agent.is_some();
    let request = pb::WatchRequest {
        site: site(args.site.as_ref()),
        agent_id: args.agent.map(String::from).unwrap_or_default(),
        after: args.after,
        no_follow: args.no_follow,
    };
    let mut events = Events::new(context.client()?, request, Follow::new());
    while let Some(item) = events.next().await? {
        let is_last = matches!(&item, Item::Event(event) if event.r#type == "agent.cleanup");
        show(context.console, item)?;
        if one_agent && is_last {
            break;
        }
    }
    Ok(Exit::Done)
}

/// Prints one event or gap.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn show(console: Console, item: Item) -> Result<(), Failure> {
    match (item, console.form()) {
        (Item::Event(event), Form::Json) => console.object(&EventView::from(event)),
        (Item::Event(event), Form::Human) => {
            let view = EventView::from(event);
            console.line(Paint::of_state(view.state), &show::event(&view))
        }
        (Item::Gap(gap), Form::Json) => console.object(&GapView::from(gap)),
        (Item::Gap(gap), Form::Human) => {
            let text = format!("[events {} to {} are no longer kept]", gap.first, gap.last);
            console.line(Paint::Bad, &text)
        }
    }
}
