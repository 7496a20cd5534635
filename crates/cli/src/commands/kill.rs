//! `mosaic kill`: kills one agent, and says only what was proved.

use super::{AgentArgs, Context, command_id};
use crate::{
    client::patient,
    console::{Form, Paint},
    exit::Exit,
    failure::Failure,
    quantity::parse_span_or_zero,
    retry, show,
    view::kill::KillView,
};
use mosaic_common::{
    CommandId,
    proto::{agent::v1 as pb, duration},
};
use std::time::Duration;

/// Which agent, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    agent: AgentArgs,
    /// How long it may take to end by itself, such as 10s; 0s for none
    #[arg(long, value_name = "SPAN", value_parser = parse_span_or_zero)]
    grace: Option<Duration>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Makes a later repeat the same request: 32 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    command_id: Option<CommandId>,
}

/// Kills one agent.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(args: KillArgs, context: &Context) -> Result<Exit, Failure> {
    let request = pb::KillRequest {
        site: args.agent.site(),
        command_id: command_id(args.command_id),
        agent_id: args.agent.agent.to_string(),
        grace: args.grace.map(duration),
        reason: args.reason,
    };
    let grace = args.grace.unwrap_or_default();
    let agents = context.client()?.agents;
    let answer = retry::call(|| {
        let (mut agents, request) = (agents.clone(), patient(request.clone(), grace));
        async move { agents.kill(request).await }
    });
    let waiting = context.console.waiting("waiting until it is seen dead");
    let view = KillView::from(answer.await?.into_inner());
    drop(waiting);
    match context.console.form() {
        Form::Json => context.console.object(&view)?,
        Form::Human => print(context, &request.agent_id, &view)?,
    }
    Ok(if view.is_proved() {
        Exit::Done
    } else {
        Exit::KillNotProved
    })
}

fn print(context: &Context, agent: &str, view: &KillView) -> Result<(), Failure> {
    let mut text = match view.outcome {
        "killed" => format!("{agent} was killed and seen dead"),
        "already_ended" => format!("{agent} had ended before"),
        "never_started" => format!("{agent} never started here; its id is barred now"),
        _ => format!("{agent} could not be proved dead; the spoke goes on trying"),
    };
    if let Some(detail) = &view.detail {
        text.push_str(&format!(": {detail}"));
    }
    context.console.line(Paint::of_state(view.outcome), &text)?;
    let report = view.agent.as_ref().and_then(|agent| agent.cleanup.as_ref());
    for (name, value) in report.map(show::cleanup).unwrap_or_default() {
        context
            .console
            .line(Paint::Plain, &format!("{name:<14} {value}"))?;
    }
    Ok(())
}
