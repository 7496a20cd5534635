//! `OperatorService` at the hub: connections and recorded commands.

use super::HubParts;
use mosaic_common::Alias;
use mosaic_common::proto::federation::v1 as pb;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorService;
use tonic::{Request, Response, Status};

/// `OperatorService` at the hub.
#[derive(Debug, Clone)]
pub struct HubOperator {
    parts: HubParts,
    hub: Alias,
}

impl HubOperator {
    /// Over the hub's parts; `hub` is its id.
    #[must_use]
    pub fn new(parts: HubParts, hub: Alias) -> Self {
        Self { parts, hub }
    }
}

#[tonic::async_trait]
impl OperatorService for HubOperator {
    async fn list_connections(
        &self,
        _: Request<pb::ListConnectionsRequest>,
    ) -> Result<Response<pb::ListConnectionsResponse>, Status> {
        let connections = self.parts.sites.connections().list();
        let connections = connections
            .iter()
            .map(|live| live.peer().to_wire(&self.hub))
            .collect();
        Ok(Response::new(pb::ListConnectionsResponse { connections }))
    }

    async fn list_commands(
        &self,
        request: Request<pb::ListCommandsRequest>,
    ) -> Result<Response<pb::ListCommandsResponse>, Status> {
        let records = &self.parts.forwarder.records;
        Ok(Response::new(records.list(request.get_ref()).await?.into()))
    }
}
