//! The names in Valkey. Other programs depend on them: `docs/valkey.md` lists them.

/// The channel of every spoke.
pub(super) const CHANNEL: &str = "mosaic:events";

/// What the key of a live row begins with; its id follows.
pub(super) const LIVE: &str = "mosaic:agent:";

/// The keys of one spoke.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// The stream of its events.
    pub(super) stream: String,
    /// The set of the ids of its live rows.
    pub(super) index: String,
}

impl Keys {
    pub(super) fn of(name: &str) -> Self {
        Self {
            stream: format!("mosaic:events:{name}"),
            index: format!("mosaic:agents:{name}"),
        }
    }
}
