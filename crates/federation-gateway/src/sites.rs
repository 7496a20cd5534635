//! The sites a hub knows, the link to each, and which of them a request is for.

use mosaic_common::proto::agent::v1::Unreachable;
use mosaic_common::{Alias, Reason, Refusal};
use mosaic_federation::connection::{ConnectionState, Connections, Live, SpokePeer};
use mosaic_federation::link::Link;
use std::collections::{HashMap, HashSet};
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

    /// The site that a request names; or that is known to have the agent; or the only one
    /// that fits.
    ///
    /// # Errors
    /// [`Reason::SiteUnknown`], [`Reason::SiteNotActive`], [`Reason::SiteRequired`].
    pub fn choose(
        &self,
        named: Option<&Alias>,
        known: Option<&Alias>,
        needs: Needs,
    ) -> Result<Site, Refusal> {
        if let Some(name) = named.or(known) {
            return self.named(name, needs);
        }
        let fitting = self.all(needs);
        match fitting.as_slice() {
            [only] => self.site(only.clone()),
            [] => Err(Refusal::new(
                Reason::SiteNotActive,
                "this hub has no active connection",
            )),
            several => {
                let names = several.iter().map(|live| live.peer().site.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                let problem = format!("site: name one of {names}");
                Err(Refusal::new(Reason::SiteRequired, problem))
            }
        }
    }

    /// The site of this name. A name may be in use again after a connection was revoked.
    ///
    /// # Errors
    /// [`Reason::SiteUnknown`], [`Reason::SiteNotActive`].
    pub fn named(&self, name: &Alias, needs: Needs) -> Result<Site, Refusal> {
        let is_it = |peer: &SpokePeer| peer.site == *name;
        let in_use = |peer: &SpokePeer| is_it(peer) && peer.state != ConnectionState::Revoked;
        let live = self.connections.find(in_use);
        let live = live
            .or_else(|| self.connections.find(is_it))
            .ok_or_else(|| {
                let problem = format!("site: this hub has no site {name}");
                Refusal::new(Reason::SiteUnknown, problem)
            })?;
        if !fits(live.peer().state, needs) {
            return Err(not_active(live.peer()));
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

    /// The names of all sites whose connection is not revoked.
    #[must_use]
    pub fn names(&self) -> HashSet<Alias> {
        let list = self.connections.list();
        let peers = list.iter().map(|live| live.peer());
        let peers = peers.filter(|peer| peer.state != ConnectionState::Revoked);
        peers.map(|peer| peer.site.clone()).collect()
    }

    /// The sites that a request to all cannot be sent to although agents may live there.
    #[must_use]
    pub fn suspended(&self) -> Vec<Unreachable> {
        let list = self.connections.list();
        let peers = list.iter().map(|live| live.peer());
        peers
            .filter(|peer| peer.state == ConnectionState::Suspended)
            .map(|peer| Unreachable {
                site: peer.site.to_string(),
                detail: not_active(peer).to_string(),
            })
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

fn not_active(peer: &SpokePeer) -> Refusal {
    let problem = format!("the connection to {} is {}", peer.site, peer.state);
    Refusal::new(Reason::SiteNotActive, problem)
}

fn fits(state: ConnectionState, needs: Needs) -> bool {
    match needs {
        Needs::Active => state == ConnectionState::Active,
        Needs::Usable => state.is_usable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_common::proto::federation::v1::Envelope;
    use mosaic_federation::identity::Identity;
    use mosaic_federation::link::{Frames, LinkError};

    /// Makes no link: these tests choose and send nothing.
    #[derive(Debug)]
    struct Nowhere;

    #[derive(Debug)]
    struct NoLink;

    #[async_trait::async_trait]
    impl Link for NoLink {
        async fn execute(&self, _: Envelope) -> Result<Envelope, LinkError> {
            Err(LinkError::Broken("nothing may be sent".into()))
        }
        async fn open(&self, _: Envelope) -> Result<(Envelope, Frames), LinkError> {
            Err(LinkError::Broken("nothing may be sent".into()))
        }
    }

    impl Dial for Nowhere {
        fn link(&self, _: &Alias) -> Result<Arc<dyn Link>, String> {
            Ok(Arc::new(NoLink))
        }
    }

    fn sites(of: &[(&str, ConnectionState)]) -> Sites {
        let peers = of.iter().enumerate().map(|(number, (site, state))| {
            let folder = tempfile::tempdir().unwrap();
            let keys = Identity::generate(folder.path(), "spoke".parse().unwrap());
            let keys = keys.unwrap().public();
            SpokePeer {
                id: format!("c{number}").parse().unwrap(),
                epoch: 1,
                state: *state,
                site: site.parse().unwrap(),
                spoke: keys.id,
                address: "127.0.0.1:1".into(),
                signing_key: keys.signing_key,
                tls_key: keys.tls_key,
            }
        });
        Sites::new(
            Arc::new(Connections::new(peers.collect())),
            Box::new(Nowhere),
        )
    }

    #[test]
    fn a_site_is_chosen_by_name_then_by_its_agent_then_if_it_is_the_only_one() {
        use ConnectionState::{Active, Pending, Revoked, Suspended};
        use Needs::{Active as Act, Usable as Look};
        let two = [("a", Active), ("b", Active)];
        let again = [
            ("a", Revoked),
            ("a", Active),
            ("s", Suspended),
            ("p", Pending),
        ];
        type Case<'a> = (
            &'a [(&'a str, ConnectionState)],
            (&'a str, &'a str, Needs),
            Result<&'a str, Reason>,
        );
        let table: [Case<'_>; 12] = [
            (&two, ("b", "", Act), Ok("b")),
            (&two, ("", "b", Act), Ok("b")),
            (&two, ("a", "b", Act), Ok("a")),
            (&two, ("", "", Act), Err(Reason::SiteRequired)),
            (&two, ("c", "", Act), Err(Reason::SiteUnknown)),
            (&[], ("", "", Act), Err(Reason::SiteNotActive)),
            (&again, ("", "", Act), Ok("a")),
            (&again, ("a", "", Act), Ok("a")),
            (&again, ("s", "", Act), Err(Reason::SiteNotActive)),
            (&again, ("s", "", Look), Ok("s")),
            (&again, ("p", "", Look), Err(Reason::SiteNotActive)),
            (
                &[("r", Revoked)],
                ("r", "", Look),
                Err(Reason::SiteNotActive),
            ),
        ];
        let name = |text: &str| text.parse::<Alias>().ok();
        for (of, (named, known, needs), expected) in table {
            let chosen = sites(of).choose(name(named).as_ref(), name(known).as_ref(), needs);
            let chosen = chosen.map(|site| site.name().to_string());
            let found = chosen.as_deref().map_err(|refusal| refusal.reason);
            assert_eq!(found, expected, "{named:?} {known:?} {needs:?}");
        }
    }
}
