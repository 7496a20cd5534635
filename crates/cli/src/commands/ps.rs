//! `mosaic ps`: lists agents.

use super::{Context, site};
use crate::{
    client::quick,
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    quantity::parse_label,
    show,
    view::agent::AgentView,
};
use mosaic_common::{Alias, TaskId, agent::AgentState, proto::agent::v1 as pb};
use std::collections::BTreeSet;

/// Agents in one answer: as many as a server gives.
const PAGE: u32 = 500;

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
            page_size: self.limit.unwrap_or(PAGE).min(PAGE),
            page_token: String::new(),
        }
    }
}

/// Lists agents, page by page.
///
/// # Errors
/// If it is refused, if nobody could be reached, or, after the others were listed, if a
/// site did not answer.
pub(crate) async fn run(args: PsArgs, context: &Context) -> Result<Exit, Failure> {
    let mut client = context.client()?;
    let mut request = args.request();
    let mut left = args.limit.map_or(usize::MAX, |limit| limit as usize);
    let (mut rows, mut silent) = (Vec::new(), BTreeSet::new());
    loop {
        let page = client
            .agents
            .list(quick(request.clone()))
            .await?
            .into_inner();
        for agent in page.agents.into_iter().take(left).map(AgentView::from) {
            left -= 1;
            match context.console.form() {
                Form::Json => context.console.object(&agent)?,
                Form::Human => rows.push(row(&agent)),
            }
        }
        silent.extend(
            page.unreachable
                .into_iter()
                .map(|site| (site.site, site.detail)),
        );
        // A token that does not change would be asked for ever.
        if left == 0
            || page.next_page_token.is_empty()
            || page.next_page_token == request.page_token
        {
            break;
        }
        request.page_token = page.next_page_token;
    }
    finish(context, rows, &silent)
}

fn finish(
    context: &Context,
    rows: Vec<Row>,
    silent: &BTreeSet<(String, String)>,
) -> Result<Exit, Failure> {
    if context.console.form() == Form::Human {
        if rows.is_empty() {
            context
                .console
                .note("no such agents; `mosaic ps --all` lists ended ones too");
        } else {
            context.console.table(
                &[
                    "AGENT",
                    "STATE",
                    "SITE",
                    "REPOSITORY",
                    "TASK ID",
                    "CREATED",
                    "CAUSE",
                ],
                rows,
            )?;
        }
    }
    for (site, detail) in silent {
        context
            .console
            .note(&format!("warning: {site} did not answer: {detail}"));
    }
    if silent.is_empty() {
        Ok(Exit::Done)
    } else {
        Err(Failure::SitesUnreachable(silent.len()))
    }
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
