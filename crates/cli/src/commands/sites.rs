//! `mosaic sites`: the connections, as places where agents can run.

use super::{Context, connections};
use crate::{
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    view::operator::ConnectionView,
};
use serde::Serialize;

/// A place where agents can run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SiteView<'a> {
    /// Its name: what `--site` takes.
    site: &'a str,
    /// The state of its connection.
    state: &'static str,
    /// Its connection.
    connection_id: &'a str,
}

/// Lists sites.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let connections = connections::read(context).await?;
    let sites = connections.iter().map(view);
    match context.console.form() {
        Form::Json => sites
            .into_iter()
            .try_for_each(|site| context.console.object(&site))?,
        Form::Human => context
            .console
            .table(&["SITE", "STATE", "CONNECTION"], sites.map(row).collect())?,
    }
    Ok(Exit::Done)
}

fn view(connection: &ConnectionView) -> SiteView<'_> {
    SiteView {
        site: &connection.site,
        state: connection.state,
        connection_id: &connection.connection_id,
    }
}

fn row(site: SiteView<'_>) -> Row {
    Row {
        paint: Paint::of_state(site.state),
        cells: vec![
            site.site.to_owned(),
            site.state.to_owned(),
            site.connection_id.to_owned(),
        ],
    }
}
