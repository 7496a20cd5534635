//! `mosaic status`: shows one agent.

use super::{AgentArgs, Context};
use crate::{
    client::quick,
    console::{Console, Form, Paint},
    exit::Exit,
    failure::Failure,
    show,
    view::agent::AgentView,
};
use mosaic_common::proto::agent::v1 as pb;

/// Which agent.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    agent: AgentArgs,
}

/// Shows one agent.
///
/// # Errors
/// If it is refused, unknown, or if nobody could be reached.
pub(crate) async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, Failure> {
    let request = pb::GetRequest {
        site: args.agent.site(),
        agent_id: args.agent.agent.to_string(),
    };
    let answer = context.client()?.agents.get(quick(request)).await?;
    let agent = answer.into_inner().agent.ok_or(Failure::Answer("agent"))?;
    print(context.console, &AgentView::from(agent))?;
    Ok(Exit::Done)
}

fn print(console: Console, agent: &AgentView) -> Result<(), Failure> {
    match console.form() {
        Form::Json => console.object(agent),
        Form::Human => show::agent(agent).iter().try_for_each(|(name, value)| {
            let is_state = *name == "state";
            let paint = if is_state {
                Paint::of_state(agent.state)
            } else {
                Paint::Plain
            };
            console.line(paint, &format!("{name:<14} {value}"))
        }),
    }
}
