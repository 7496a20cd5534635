//! The network of agents that may use one.
//!
//! Engines let two networks of one name be made at the same moment, and then refuse to look for,
//! join or remove either by that name. So one is made at a time, and networks go by their ids.

use super::engine::{Engine, failed, reason, status};
use crate::sandbox::Error;
use bollard::models::{Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use std::collections::HashMap;

impl Engine {
    /// Ensures a network on which containers reach the outside but not each other.
    pub(super) async fn ensure_network(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.making.lock().await;
        match self.networks(name).await?.as_slice() {
            [] => {}
            [_] => return Ok(()),
            // A life that ended while it made one may have been overtaken by the next.
            [_, others @ ..] => {
                self.remove_unused(others).await;
                return Ok(());
            }
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
        let _one_at_a_time = self.making.lock().await;
        match self.networks(name).await {
            Ok(networks) => self.remove_unused(&networks).await,
            Err(error) => {
                tracing::warn!(network = name, %error, "the network was not looked for");
            }
        }
    }

    async fn remove_unused(&self, networks: &[Network]) {
        for id in networks.iter().filter_map(|network| network.id.as_deref()) {
            if let Err(error) = self.api.remove_network(id).await
                && !matches!(status(&error), Some(403 | 404 | 409))
            {
                tracing::warn!(network = id, error = %reason(&error), "the network was not removed");
            }
        }
    }

    /// Every network of just this name, those in the order of their ids.
    async fn networks(&self, name: &str) -> Result<Vec<Network>, Error> {
        // The engine takes it for a part of a name.
        let filters = HashMap::from([("name", vec![name])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters);
        let listed = self.api.list_networks(Some(options.build())).await;
        let mut networks = listed.map_err(failed("look for the network"))?;
        networks.retain(|network| network.name.as_deref() == Some(name));
        networks.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(networks)
    }
}
