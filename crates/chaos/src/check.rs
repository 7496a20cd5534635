//! The checker: takes stock of a spoke from outside, asks it, and says where the two disagree.

use crate::finding::Finding;
use crate::judge::judge;
use crate::seen::{Place, look};
use crate::told;
use crate::work::{self, Promise, Scope};
use anyhow::{Context, Result};
use mosaic_common::proto::agent::v1::agent_service_client::AgentServiceClient;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

/// Between two looks: a look takes about as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Who is asked, and where is looked.
#[derive(Debug)]
pub struct Check {
    /// Where to look.
    pub place: Place,
    /// The spoke.
    pub client: AgentServiceClient<Channel>,
    /// Which agents' work is looked at.
    pub scope: Scope,
}

impl Check {
    /// Every disagreement there is now.
    ///
    /// # Errors
    /// What could not be looked at or asked.
    pub async fn once(&mut self, promises: &[Promise]) -> Result<Vec<Finding>> {
        let told = told::ask(&mut self.client).await?;
        let (place, promises, scope) = (self.place.clone(), promises.to_vec(), self.scope);
        let looked = tokio::task::spawn_blocking(move || {
            let mut findings = judge(&look(&place)?, &told);
            findings.extend(work::judge(&place.data, &told, &promises, scope)?);
            Ok(findings)
        });
        looked.await.context("the look did not end")?
    }

    /// Every disagreement that does not pass within `patience`: what is asked and what is seen are
    /// never of the same instant. `promises` is asked anew for each look.
    ///
    /// # Errors
    /// What could not be looked at or asked.
    pub async fn lasting(
        &mut self,
        promises: impl Fn() -> Vec<Promise>,
        patience: Duration,
    ) -> Result<Vec<Finding>> {
        let deadline = Instant::now() + patience;
        loop {
            let findings = self.once(&promises()).await?;
            if findings.is_empty() || Instant::now() > deadline {
                return Ok(findings);
            }
            sleep(PAUSE).await;
        }
    }
}
