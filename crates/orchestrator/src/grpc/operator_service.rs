//! `OperatorService` for the local operator: connections and recorded commands.

use mosaic_common::proto::federation::v1 as pb;
use mosaic_common::proto::federation::v1::operator_service_server::OperatorService;
use mosaic_federation::connection::SpokeConnections;
use mosaic_federation::record::Audit;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// `OperatorService` for whoever reaches the local socket.
#[derive(Debug, Clone)]
pub struct LocalOperator {
    connections: Arc<SpokeConnections>,
    audit: Audit,
}

impl LocalOperator {
    /// Over the spoke's connections and its record of commands.
    #[must_use]
    pub fn new(connections: Arc<SpokeConnections>, audit: Audit) -> Self {
        Self { connections, audit }
    }
}

#[tonic::async_trait]
impl OperatorService for LocalOperator {
    async fn list_connections(
        &self,
        _: Request<pb::ListConnectionsRequest>,
    ) -> Result<Response<pb::ListConnectionsResponse>, Status> {
        Ok(Response::new(pb::ListConnectionsResponse { connections: self.connections.list() }))
    }

    async fn list_commands(
        &self,
        request: Request<pb::ListCommandsRequest>,
    ) -> Result<Response<pb::ListCommandsResponse>, Status> {
        Ok(Response::new(self.audit.list(request.get_ref()).await?))
    }
}
