//! The example files of a spoke, and of the page about agents, are read.

use mosaic_common::agent::Fault;
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

#[test]
fn the_spokes_of_compose_parse_share_no_uid_and_grant_what_they_have() {
    let connection = example("spoke-connections.toml").0;
    let (connection, _) = connection.split_once("[connection.grant]").unwrap();
    let mut taken = Vec::new();
    for site in ["osaka", "tokyo"] {
        let (text, path) = example(&format!("docker/{site}/spoke.toml"));
        let config = Config::parse(&text, path).unwrap();
        assert_eq!(config.name.as_str(), site);
        assert!(config.valkey.is_some() && config.docker.enabled);
        let uids = config.uids.first..config.uids.first + config.uids.count;
        taken.push(uids);
        let grant = example(&format!("docker/{site}/grant.toml")).0;
        let hubs = parse_hubs(&format!("{connection}{grant}")).unwrap();
        let grant = &hubs[0].grant;
        let known = |name| config.repositories.contains_key(name);
        assert!(!grant.repositories.is_empty() && grant.repositories.iter().all(known));
        let known = |name| config.profiles.contains_key(name);
        assert!(!grant.profiles.is_empty() && grant.profiles.iter().all(known));
    }
    assert!(taken[0].end <= taken[1].start, "{taken:?}");
}

#[test]
fn the_page_of_agents_says_of_every_reason_what_to_do_and_its_example_is_read() {
    let (page, path) = example("../docs/agents.md");
    for fault in Fault::ALL {
        assert!(page.contains(&format!("\n| `{}` |", fault.as_str())));
    }
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (profile, _) = example.split_once("```").unwrap();
    let text = format!("name = 'x'\ndata = '/x'\n{profile}");
    let config = Config::parse(&text, path).unwrap();
    assert_eq!(config.profiles.len(), 1);
}
