//! `OperatorService` for the local operator: connections and recorded commands.

use mosaic_common::Alias;
use mosaic_common::proto::federation::v1 as pb;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorService;
use mosaic_federation::connection::{Connections, HubPeer};
use mosaic_federation::record::Records;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// `OperatorService` for whoever reaches the local socket.
#[derive(Debug, Clone)]
pub struct LocalOperator {
    connections: Arc<Connections<HubPeer>>,
    records: Records,
    spoke: Alias,
    site: Alias,
}

impl LocalOperator {
    /// Over the spoke's connections and its record of commands; `spoke` is its id.
    #[must_use]
    pub fn new(
        connections: Arc<Connections<HubPeer>>,
        records: Records,
        spoke: Alias,
        site: Alias,
    ) -> Self {
        Self {
            connections,
            records,
            spoke,
            site,
        }
    }
}

#[tonic::async_trait]
impl OperatorService for LocalOperator {
    async fn list_connections(
        &self,
        _: Request<pb::ListConnectionsRequest>,
    ) -> Result<Response<pb::ListConnectionsResponse>, Status> {
        let connections = self.connections.list();
        let connections = connections
            .iter()
            .map(|live| live.peer().to_wire(&self.spoke, &self.site))
            .collect();
        Ok(Response::new(pb::ListConnectionsResponse { connections }))
    }

    async fn list_commands(
        &self,
        request: Request<pb::ListCommandsRequest>,
    ) -> Result<Response<pb::ListCommandsResponse>, Status> {
        Ok(Response::new(
            self.records.list(request.get_ref()).await?.into(),
        ))
    }
}
