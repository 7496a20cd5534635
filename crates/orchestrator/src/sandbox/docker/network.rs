//! The network of agents that may use one.

use super::engine::{Engine, failed, found, reason, status};
use crate::sandbox::Error;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::InspectNetworkOptions;
use std::collections::HashMap;

impl Engine {
    /// Ensures a network on which containers reach the outside but not each other.
    pub(super) async fn ensure_network(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
    ) -> Result<(), Error> {
        let look = self
            .api
            .inspect_network(name, None::<InspectNetworkOptions>);
        if found("look for the network", look).await?.is_some() {
            return Ok(());
        }
        let apart = HashMap::from([(
            "com.docker.network.bridge.enable_icc".to_owned(),
            "false".to_owned(),
        )]);
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(apart),
            labels: Some(labels.clone()),
            ..NetworkCreateRequest::default()
        };
        match self.api.create_network(request).await {
            Err(error) if status(&error) != Some(409) => Err(failed("make the network")(error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Removes the network unless something is on it.
    pub(super) async fn remove_unused_network(&self, name: &str) {
        if let Err(error) = self.api.remove_network(name).await
            && !matches!(status(&error), Some(403 | 404 | 409))
        {
            tracing::warn!(network = name, error = %reason(&error), "the network was not removed");
        }
    }
}
