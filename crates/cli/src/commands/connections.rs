//! `mosaic connections`: lists the connections of a hub or a spoke.

use super::Context;
use crate::{
    client::quick,
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    show,
    view::operator::ConnectionView,
};
use mosaic_common::proto::federation::v1 as pb;

/// Lists connections.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let connections = read(context).await?;
    match context.console.form() {
        Form::Json => connections
            .iter()
            .try_for_each(|connection| context.console.object(connection))?,
        Form::Human => {
            let header = [
                "CONNECTION",
                "SITE",
                "HUB",
                "SPOKE",
                "STATE",
                "EPOCH",
                "ADDRESS",
            ];
            context
                .console
                .table(&header, connections.iter().map(row).collect())?;
        }
    }
    Ok(Exit::Done)
}

/// Asks for the connections.
///
/// # Errors
/// If it is refused, or if nobody could be reached.
pub(crate) async fn read(context: &Context) -> Result<Vec<ConnectionView>, Failure> {
    let request = quick(pb::ListConnectionsRequest {});
    let answer = context.client()?.operator.list_connections(request).await?;
    let connections = answer.into_inner().connections.into_iter();
    Ok(connections.map(ConnectionView::from).collect())
}

fn row(connection: &ConnectionView) -> Row {
    Row {
        paint: Paint::of_state(connection.state),
        cells: vec![
            connection.connection_id.clone(),
            connection.site.clone(),
            connection.hub_id.clone(),
            connection.spoke_id.clone(),
            connection.state.to_owned(),
            connection.epoch.to_string(),
            show::text(connection.address.as_deref()),
        ],
    }
}
