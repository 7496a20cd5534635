//! The kinds of command: their names, what each asks and answers, and how each is carried.

use mosaic_common::proto::agent::v1 as pb;
use mosaic_common::proto::federation::v1::CommandKind;
use prost::Message;

/// Every kind and its name in configurations and logs.
const NAMES: [(CommandKind, &str); 9] = [
    (CommandKind::Spawn, "spawn"),
    (CommandKind::Status, "status"),
    (CommandKind::List, "list"),
    (CommandKind::Kill, "kill"),
    (CommandKind::KillAll, "kill_all"),
    (CommandKind::Release, "release"),
    (CommandKind::Watch, "watch"),
    (CommandKind::Logs, "logs"),
    (CommandKind::Result, "result"),
];

/// How a kind is carried and remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// One answer; it has an effect, so it is claimed durably before it is done.
    Act,
    /// One answer; it only reads.
    Read,
    /// A receipt and a stream; it only reads.
    Stream,
}

/// The kind's name; empty for unspecified.
#[must_use]
pub fn name(kind: CommandKind) -> &'static str {
    let entry = NAMES.iter().find(|(known, _)| *known == kind);
    entry.map_or("", |(_, name)| name)
}

/// The kind of a name.
#[must_use]
pub fn parse(name: &str) -> Option<CommandKind> {
    let entry = NAMES.iter().find(|(_, known)| *known == name);
    entry.map(|(kind, _)| *kind)
}

/// How a kind is carried; `None` for unspecified.
#[must_use]
pub fn carriage(kind: CommandKind) -> Option<Carriage> {
    match kind {
        CommandKind::Unspecified => None,
        CommandKind::Spawn | CommandKind::Kill | CommandKind::KillAll | CommandKind::Release => {
            Some(Carriage::Act)
        }
        CommandKind::Status | CommandKind::List => Some(Carriage::Read),
        CommandKind::Watch | CommandKind::Logs | CommandKind::Result => Some(Carriage::Stream),
    }
}

/// A request that may be the body of a command. Sealed: what a hub can sign is decided here.
pub trait Request: Message + Default + sealed::Sealed {
    /// The kind whose body it is.
    const KIND: CommandKind;
    /// What answers it: the receipt's result, or one frame's data.
    type Response: Message + Default;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! requests {
    ($($request:ident -> $response:ident, $kind:ident;)*) => {$(
        impl sealed::Sealed for pb::$request {}
        impl Request for pb::$request {
            const KIND: CommandKind = CommandKind::$kind;
            type Response = pb::$response;
        }
    )*};
}

requests! {
    SpawnRequest -> SpawnResponse, Spawn;
    GetRequest -> GetResponse, Status;
    ListRequest -> ListResponse, List;
    KillRequest -> KillResponse, Kill;
    KillAllRequest -> KillAllResponse, KillAll;
    ReleaseRequest -> ReleaseResponse, Release;
    WatchRequest -> WatchResponse, Watch;
    LogsRequest -> LogsResponse, Logs;
    ResultRequest -> ResultResponse, Result;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_that_leads_back_to_it() {
        for (kind, text) in NAMES {
            assert_eq!((name(kind), parse(text)), (text, Some(kind)));
            assert!(carriage(kind).is_some());
        }
        assert_eq!(parse(""), None);
        assert_eq!(carriage(CommandKind::Unspecified), None);
    }
}
