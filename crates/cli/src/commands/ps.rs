//! `mosaic ps`: lists agents.

use super::{Context, listing, site};
use crate::{
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    quantity::parse_label,
    show,
    view::agent::AgentView,
};
use mosaic_common::{Alias, TaskId, agent::AgentState, proto::agent::v1 as pb};

/// Which agents.
#[derive(Debug, clap::Args)]
pub(crate) struct PsArgs {
    /// Only of this site
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
    /// Only in this state: queued, spawning, running, stopping, completed, failed or killed; may be
    /// repeated
    #[arg(long = "state", value_name = "STATE", value_parser = parse_state, conflicts_with = "all")]
    states: Vec<AgentState>,
    /// Only with this --task-id of `spawn`
    #[arg(long, value_name = "NAME")]
    task_id: Option<TaskId>,
    /// Only with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Also agents that have ended
    #[arg(long, short)]
    all: bool,
    /// At most this many
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

fn parse_state(text: &str) -> Result<AgentState, String> {
    let known = AgentState::ALL
        .into_iter()
        .find(|state| state.as_str() == text);
    known.ok_or_else(|| {
        format!(
            "must be one of {}",
            AgentState::ALL.map(AgentState::as_str).join(", ")
        )
    })
}

impl PsArgs {
    fn request(&self) -> pb::ListRequest {
        let live = || {
            AgentState::ALL
                .into_iter()
                .filter(|state| !state.is_final())
        };
        let states: Vec<AgentState> = match (self.states.as_slice(), self.all) {
            (_, true) => Vec::new(),
            ([], false) => live().collect(),
            (given, false) => given.to_vec(),
        };
        pb::ListRequest {
            site: site(self.site.as_ref()),
            states: states
                .into_iter()
                .map(|state| pb::AgentState::from(state).into())
                .collect(),
            task_id: self
                .task_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            labels: self.labels.iter().cloned().collect(),
            page_size: self.limit.unwrap_or(listing::PAGE).min(listing::PAGE),
            page_token: String::new(),
        }
    }
}

/// Lists agents.
///
/// # Errors
/// If it is refused, if nobody could be reached, or, after the others were listed, if a
/// site did not answer.
pub(crate) async fn run(args: PsArgs, context: &Context) -> Result<Exit, Failure> {
    let limit = args.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut rows = Vec::new();
    let silent = listing::each(context, args.request(), limit, |agent| {
        match context.console.form() {
            Form::Json => context.console.object(&agent)?,
            Form::Human => rows.push(row(&agent)),
        }
        Ok(())
    })
    .await?;
    if context.console.form() == Form::Human {
        if rows.is_empty() {
            context
                .console
                .note("no such agents; `mosaic ps --all` lists ended ones too");
        } else {
            let heads = [
                "AGENT",
                "STATE",
                "SITE",
                "REPOSITORY",
                "TASK ID",
                "CREATED",
                "CAUSE",
            ];
            context.console.table(&heads, rows)?;
        }
    }
    silent.tell(context)
}

fn row(agent: &AgentView) -> Row {
    Row {
        paint: Paint::of_state(agent.state),
        cells: vec![
            agent.agent_id.clone(),
            agent.state.to_owned(),
            agent.site.clone(),
            show::text(agent.spec.repository.as_deref()),
            agent.task_id.clone(),
            show::time(agent.created),
            show::text(agent.cause.as_ref().map(ToString::to_string).as_deref()),
        ],
    }
}
