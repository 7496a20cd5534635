//! The example of a hub's connections is read.

use mosaic_federation::connection::parse_spokes;

#[test]
fn the_example_of_a_hubs_connections_parses() {
    let text = include_str!("../../../../deploy/hub-connections.toml");
    let peers = parse_spokes(text).unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].site.as_str(), "alpha");
}
