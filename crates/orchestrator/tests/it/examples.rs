//! The example files of a spoke are read.

use mosaic_federation::connection::parse_hubs;
use orchestrator::config::Config;
use std::path::{Path, PathBuf};

fn example(name: &str) -> (String, PathBuf) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let path = path.join(name);
    (std::fs::read_to_string(&path).unwrap(), path)
}

#[test]
fn the_example_of_a_spoke_parses_and_names_what_the_grant_lists() {
    let (text, path) = example("spoke.toml");
    let config = Config::parse(&text, path).unwrap();
    let default: Config = toml::from_str("name = 'x'\ndata = '/x'").unwrap();
    assert_eq!(config.uids.first, default.uids.first, "it says the default");
    assert_eq!(config.uids.first, orchestrator::folders::OWNERS.start);
    let hubs = parse_hubs(&example("spoke-connections.toml").0).unwrap();
    assert_eq!(hubs.len(), 1);
    let grant = &hubs[0].grant;
    let known = |name| config.repositories.contains_key(name);
    assert!(grant.repositories.iter().all(known));
    let known = |name| config.profiles.contains_key(name);
    assert!(grant.profiles.iter().all(known));
}
