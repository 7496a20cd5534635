//! `mosaic quarantine`: lists work that could not be rescued, and where it is kept.

use super::{Context, listing, site};
use crate::{
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    show,
    view::{agent::AgentView, cleanup::QuarantineView},
};
use mosaic_common::{Alias, agent::AgentState, proto::agent::v1 as pb};
use serde::Serialize;

/// Which work.
#[derive(Debug, clap::Args)]
pub(crate) struct QuarantineArgs {
    /// Only of this site
    #[arg(long, value_name = "SITE")]
    site: Option<Alias>,
}

/// Work of one agent, and why it is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptView {
    agent_id: String,
    site: String,
    repository: Option<String>,
    /// Why it could not be rescued.
    reason: String,
    /// Where it is, and until when.
    #[serde(flatten)]
    place: QuarantineView,
}

/// Lists what is in quarantine.
///
/// # Errors
/// If it is refused, if nobody could be reached, or, after the others were listed, if a
/// site did not answer.
pub(crate) async fn run(args: QuarantineArgs, context: &Context) -> Result<Exit, Failure> {
    let ended = AgentState::ALL.into_iter().filter(|state| state.is_final());
    let request = pb::ListRequest {
        site: site(args.site.as_ref()),
        states: ended
            .map(|state| pb::AgentState::from(state).into())
            .collect(),
        page_size: listing::PAGE,
        ..pb::ListRequest::default()
    };
    let mut rows = Vec::new();
    let silent = listing::each(context, request, usize::MAX, |agent| {
        let Some(kept) = kept(agent) else {
            return Ok(());
        };
        match context.console.form() {
            Form::Json => context.console.object(&kept)?,
            Form::Human => rows.push(row(kept)),
        }
        Ok(())
    })
    .await?;
    if context.console.form() == Form::Human {
        if rows.is_empty() {
            context
                .console
                .note("nothing is in quarantine: all work was rescued");
        } else {
            let heads = ["AGENT", "SITE", "REPOSITORY", "UNTIL", "WHY", "FOLDER"];
            context.console.table(&heads, rows)?;
        }
    }
    silent.tell(context)
}

fn kept(agent: AgentView) -> Option<KeptView> {
    let report = agent.cleanup?;
    Some(KeptView {
        agent_id: agent.agent_id,
        site: agent.site,
        repository: agent.spec.repository,
        reason: report.rescue.detail,
        place: report.quarantine?,
    })
}

fn row(kept: KeptView) -> Row {
    Row {
        paint: Paint::Plain,
        cells: vec![
            kept.agent_id,
            kept.site,
            show::text(kept.repository.as_deref()),
            show::time(kept.place.until),
            kept.reason,
            kept.place.path,
        ],
    }
}
