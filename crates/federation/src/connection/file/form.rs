//! How connections are spelt in TOML.

use super::{
    Alias, ConnectionState, ConnectionsError, Deserialize, Grant, HubPeer, Limits, Serialize,
    SpokePeer, TlsKey, VerifyingKey, field, kind,
};
use mosaic_common::keys::InvalidKey;
use std::time::Duration;

/// The shortest time out of touch that a grant may name: a link that lost one packet too many is
/// noticed after thirty seconds, and dialled anew within ten.
const CUT_OFF_MIN: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<C> {
    #[serde(default = "Vec::new")]
    pub(super) connection: Vec<C>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hub {
    id: Alias,
    epoch: u64,
    state: ConnectionState,
    hub: Alias,
    signing_key: Key<VerifyingKey>,
    tls_key: Key<TlsKey>,
    grant: GrantForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spoke {
    id: Alias,
    epoch: u64,
    state: ConnectionState,
    site: Alias,
    spoke: Alias,
    address: String,
    signing_key: Key<VerifyingKey>,
    tls_key: Key<TlsKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantForm {
    commands: Vec<String>,
    #[serde(default)]
    repositories: Vec<Alias>,
    #[serde(default)]
    profiles: Vec<Alias>,
    #[serde(default)]
    sandboxes: Vec<Alias>,
    max_agents: u32,
    commands_per_minute: u32,
    cut_off_seconds: Option<u64>,
    #[serde(default)]
    limits: LimitsForm,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LimitsForm {
    memory_bytes: Option<u64>,
    cpu_millis: Option<u32>,
    pids: Option<u32>,
    wall_clock_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    disk_bytes: Option<u64>,
}

/// A key as hexadecimal text.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[serde(bound(
    serialize = "K: Clone + std::fmt::Display",
    deserialize = "K: std::str::FromStr<Err = InvalidKey>"
))]
#[derive(Clone)]
struct Key<K>(K);

impl<K: std::str::FromStr<Err = InvalidKey>> TryFrom<String> for Key<K> {
    type Error = InvalidKey;
    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse().map(Self)
    }
}

impl<K: std::fmt::Display> From<Key<K>> for String {
    fn from(key: Key<K>) -> Self {
        key.0.to_string()
    }
}

impl TryFrom<Hub> for HubPeer {
    type Error = ConnectionsError;
    fn try_from(form: Hub) -> Result<Self, ConnectionsError> {
        let parse = |name: &String| {
            let problem = || format!("grant.commands: there is no kind of command named {name:?}");
            kind::parse(name).ok_or_else(|| field(&form.id, problem()))
        };
        let commands = form.grant.commands.iter().map(parse);
        let commands = commands.collect::<Result<Vec<_>, _>>()?;
        let cut_off = form.grant.cut_off_seconds.map(Duration::from_secs);
        if cut_off.is_some_and(|cut_off| cut_off < CUT_OFF_MIN) {
            let least = CUT_OFF_MIN.as_secs();
            let problem =
                format!("grant.cut_off_seconds: at least {least}, which a link takes to come back");
            return Err(field(&form.id, problem));
        }
        Ok(Self {
            id: form.id,
            epoch: form.epoch,
            state: form.state,
            hub: form.hub,
            signing_key: form.signing_key.0,
            tls_key: form.tls_key.0,
            grant: Grant {
                commands,
                repositories: form.grant.repositories,
                profiles: form.grant.profiles,
                sandboxes: form.grant.sandboxes,
                max_agents: form.grant.max_agents,
                commands_per_minute: form.grant.commands_per_minute,
                limits: form.grant.limits.into(),
                cut_off,
            },
        })
    }
}

impl From<&HubPeer> for Hub {
    fn from(peer: &HubPeer) -> Self {
        let grant = &peer.grant;
        let names = grant.commands.iter().map(|kind| kind::name(*kind).into());
        Self {
            id: peer.id.clone(),
            epoch: peer.epoch,
            state: peer.state,
            hub: peer.hub.clone(),
            signing_key: Key(peer.signing_key),
            tls_key: Key(peer.tls_key),
            grant: GrantForm {
                commands: names.collect(),
                repositories: grant.repositories.clone(),
                profiles: grant.profiles.clone(),
                sandboxes: grant.sandboxes.clone(),
                max_agents: grant.max_agents,
                commands_per_minute: grant.commands_per_minute,
                cut_off_seconds: grant.cut_off.map(|cut_off| cut_off.as_secs()),
                limits: grant.limits.into(),
            },
        }
    }
}

impl From<Spoke> for SpokePeer {
    fn from(form: Spoke) -> Self {
        Self {
            id: form.id,
            epoch: form.epoch,
            state: form.state,
            site: form.site,
            spoke: form.spoke,
            address: form.address,
            signing_key: form.signing_key.0,
            tls_key: form.tls_key.0,
        }
    }
}

impl From<&SpokePeer> for Spoke {
    fn from(peer: &SpokePeer) -> Self {
        Self {
            id: peer.id.clone(),
            epoch: peer.epoch,
            state: peer.state,
            site: peer.site.clone(),
            spoke: peer.spoke.clone(),
            address: peer.address.clone(),
            signing_key: Key(peer.signing_key),
            tls_key: Key(peer.tls_key),
        }
    }
}

impl From<LimitsForm> for Limits {
    fn from(form: LimitsForm) -> Self {
        Self {
            memory_bytes: form.memory_bytes,
            cpu_millis: form.cpu_millis,
            pids: form.pids,
            wall_clock_seconds: form.wall_clock_seconds,
            idle_seconds: form.idle_seconds,
            disk_bytes: form.disk_bytes,
        }
    }
}

impl From<Limits> for LimitsForm {
    fn from(limits: Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            pids: limits.pids,
            wall_clock_seconds: limits.wall_clock_seconds,
            idle_seconds: limits.idle_seconds,
            disk_bytes: limits.disk_bytes,
        }
    }
}
