//! Keeps a connection to every site, so that a site knows whether its hub is there: a grant may say
//! how long it may be away. It asks for nothing and believes nothing.

use crate::sites::{Needs, Sites};
use futures_util::future::join_all;
use mosaic_common::Alias;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

/// How often. A site that has not heard of its hub for a minute at least may stop its agents.
const EVERY: Duration = Duration::from_secs(10);

/// How long one site may take. The others do not wait for it, but the next round does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Touches every site that may be used, now and for ever, and tells which have come `back`.
pub(crate) async fn keep(sites: Arc<Sites>, back: UnboundedSender<Alias>) {
    let mut away = BTreeSet::new();
    loop {
        let now = look(&sites, &away).await;
        for site in away.difference(&now) {
            back.send(site.clone()).ok(); // nobody counts sites any more: the hub stops
        }
        away = now;
        tokio::time::sleep(EVERY).await;
    }
}

/// Touches every site once; returns those that are away, and tells which have come or gone.
async fn look(sites: &Sites, before: &BTreeSet<Alias>) -> BTreeSet<Alias> {
    let every = match sites.every(Needs::Usable) {
        Ok(every) => every,
        Err(why) => {
            warn!(%why, "the sites cannot be touched");
            return before.clone();
        }
    };
    let touched = every.into_iter().map(async |site| {
        let touched = tokio::time::timeout(PATIENCE, site.link.touch()).await;
        let why = match touched {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it does not answer".to_owned()),
        };
        (site.name().clone(), why)
    });
    let mut away = BTreeSet::new();
    for (site, why) in join_all(touched).await {
        match why {
            Some(why) => {
                if !before.contains(&site) {
                    warn!(%site, why, "a site is out of reach");
                }
                away.insert(site);
            }
            None if before.contains(&site) => info!(%site, "a site is back"),
            None => {}
        }
    }
    away
}
