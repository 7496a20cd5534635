//! What `--json` prints: the wire's answers in the JSON shape of the agent model.
//!
//! Field names are a promise to scripts: fields are added, never renamed or removed. Names are
//! camel case, enums lower snake, times RFC 3339 in UTC, sizes bytes, spans seconds. A value
//! that this client is too old to know is `unknown`. `docs/cli.md` lists every field.

pub(crate) mod agent;
pub(crate) mod bytes;
pub(crate) mod cleanup;
pub(crate) mod event;
pub(crate) mod kill;
pub(crate) mod operator;
pub(crate) mod result;

use jiff::Timestamp;
use serde::Serialize;

/// A site that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnreachableView {
    /// Which.
    pub site: String,
    /// Why, for people.
    pub detail: String,
}

impl From<mosaic_common::proto::agent::v1::Unreachable> for UnreachableView {
    fn from(wire: mosaic_common::proto::agent::v1::Unreachable) -> Self {
        Self {
            site: wire.site,
            detail: wire.detail,
        }
    }
}

/// Reads an optional time; one out of range is none.
fn time(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    wire.and_then(mosaic_common::proto::time)
}

/// Empty text is how the wire says none.
fn text(wire: String) -> Option<String> {
    Some(wire).filter(|text| !text.is_empty())
}
