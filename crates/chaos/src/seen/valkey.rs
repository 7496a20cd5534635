//! What other programs are told in Valkey.

use super::{Kind, Thing};
use anyhow::{Context, Result};
use mosaic_testkit::valkey::{Client, Reply};

/// Reads the live agents of a site.
pub(super) fn look(port: u16, site: &str) -> Result<Vec<Thing>> {
    let mut client = Client::try_connect(port)?;
    let mut things = Vec::new();
    for member in texts(client.try_call(&["SMEMBERS", &format!("mosaic:agents:{site}")])?) {
        things.push(Thing::new(Kind::Member, &member));
    }
    for key in texts(client.try_call(&["KEYS", "mosaic:agent:*"])?) {
        let Reply::Text(value) = client.try_call(&["GET", &key])? else {
            continue; // it went while we looked
        };
        let agent: serde_json::Value = serde_json::from_str(&value).context("an agent's key")?;
        if agent["site"] == site {
            let state = agent["state"].as_str().unwrap_or_default();
            things.push(Thing::of(
                Kind::Key,
                key.trim_start_matches("mosaic:agent:"),
                state,
            ));
        }
    }
    Ok(things)
}

fn texts(reply: Reply) -> Vec<String> {
    match reply {
        Reply::List(parts) => parts.iter().map(Reply::text).collect(),
        Reply::Text(_) | Reply::Error(_) | Reply::Number(_) | Reply::Nil => Vec::new(),
    }
}
