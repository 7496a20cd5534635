//! The sites a hub knows, the link to each, and which of them a request is for.

use crate::index::Index;
use mosaic_common::{AgentId, Alias, Reason, Refusal};
use mosaic_federation::connection::{ConnectionState, Connections, Live, SpokePeer};
use mosaic_federation::link::Link;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes the link of a connection.
pub trait Dial: Debug + Send + Sync {
    /// The link of a connection, made lazily: nothing is sent yet.
    ///
    /// # Errors
    /// Why none can be made, for the log.
    fn link(&self, connection: &Alias) -> Result<Arc<dyn Link>, String>;
}

/// The sites a hub knows.
#[derive(Debug)]
pub struct Sites {
    connections: Arc<Connections<SpokePeer>>,
    dial: Box<dyn Dial>,
    links: Mutex<HashMap<Alias, Arc<dyn Link>>>,
}

/// A site, its connection as it was when it was chosen, and the link to it.
#[derive(Debug, Clone)]
pub struct Site {
    /// The connection.
    pub live: Arc<Live<SpokePeer>>,
    /// The way there.
    pub link: Arc<dyn Link>,
}

impl Site {
    /// The connection's peer.
    #[must_use]
    pub fn peer(&self) -> &SpokePeer {
        self.live.peer()
    }

    /// The site's name.
    #[must_use]
    pub fn name(&self) -> &Alias {
        &self.live.peer().site
    }
}

/// What a request needs of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// That it be active.
    Active,
    /// That it be active or suspended: status and kill.
    Usable,
}

impl Sites {
    /// The sites of these connections.
    #[must_use]
    pub fn new(connections: Arc<Connections<SpokePeer>>, dial: Box<dyn Dial>) -> Self {
        Self {
            connections,
            dial,
            links: Mutex::default(),
        }
    }

    /// The connections.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections<SpokePeer>> {
        &self.connections
    }

    /// The site that a request names; or that has the agent; or the only active one.
    ///
    /// # Errors
    /// [`Reason::SiteUnknown`], [`Reason::SiteNotActive`], [`Reason::SiteRequired`].
    pub async fn choose(
        &self,
        named: &str,
        agent: Option<&AgentId>,
        index: &Index,
        needs: Needs,
    ) -> Result<Site, Refusal> {
        if !named.is_empty() {
            let name: Alias = named
                .parse()
                .map_err(|error| Refusal::invalid("site", error))?;
            return self.named(&name, needs);
        }
        if let Some(agent) = agent
            && let Some(site) = index.site(agent).await?
        {
            return self.named(&site, needs);
        }
        let active = self.all(Needs::Active);
        match active.as_slice() {
            [only] => self.site(only.clone()),
            [] => Err(Refusal::new(
                Reason::SiteNotActive,
                "this hub has no active connection",
            )),
            several => {
                let names: Vec<&str> = several
                    .iter()
                    .map(|live| live.peer().site.as_str())
                    .collect();
                Err(Refusal::new(
                    Reason::SiteRequired,
                    format!("site: name one of {}", names.join(", ")),
                ))
            }
        }
    }

    /// The site of this name.
    ///
    /// # Errors
    /// [`Reason::SiteUnknown`], [`Reason::SiteNotActive`].
    pub fn named(&self, name: &Alias, needs: Needs) -> Result<Site, Refusal> {
        let live = self.connections.find(|peer| peer.site == *name);
        let live = live.ok_or_else(|| {
            Refusal::new(Reason::SiteUnknown, format!("this hub has no site {name}"))
        })?;
        if !fits(live.peer().state, needs) {
            let what = format!("the connection to {name} is {}", live.peer().state.as_str());
            return Err(Refusal::new(Reason::SiteNotActive, what));
        }
        self.site(live)
    }

    /// Every site that can be asked, in the order of the configuration.
    ///
    /// # Errors
    /// If a link cannot even be made.
    pub fn every(&self, needs: Needs) -> Result<Vec<Site>, Refusal> {
        self.all(needs)
            .into_iter()
            .map(|live| self.site(live))
            .collect()
    }

    fn all(&self, needs: Needs) -> Vec<Arc<Live<SpokePeer>>> {
        self.connections
            .list()
            .iter()
            .filter(|live| fits(live.peer().state, needs))
            .cloned()
            .collect()
    }

    fn site(&self, live: Arc<Live<SpokePeer>>) -> Result<Site, Refusal> {
        let id = live.peer().id.clone();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&id) {
            return Ok(Site {
                live,
                link: link.clone(),
            });
        }
        let link = self.dial.link(&id).map_err(|error| {
            tracing::error!(connection.id = %id, error, "no link can be made");
            Refusal::new(
                Reason::Internal,
                "no link to the site can be made; the hub's log says why",
            )
        })?;
        links.insert(id, link.clone());
        Ok(Site { live, link })
    }
}

fn fits(state: ConnectionState, needs: Needs) -> bool {
    match needs {
        Needs::Active => state == ConnectionState::Active,
        Needs::Usable => state.is_usable(),
    }
}
