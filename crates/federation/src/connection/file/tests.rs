//! Files that are read, and files that are not.

use super::*;

const KEYS: [&str; 4] = [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
];

fn hub(id: &str, signing: &str, tls: &str) -> String {
    format!(
        r#"
[[connection]]
id = "{id}"
epoch = 1
state = "active"
hub = "hub-berlin"
signing_key = "{signing}"
tls_key = "{tls}"
[connection.grant]
commands = ["spawn", "status", "kill_all"]
repositories = ["demo"]
profiles = ["command"]
sandboxes = ["bubblewrap"]
max_agents = 8
commands_per_minute = 600
limits = {{ memory_bytes = 2147483648, wall_clock_seconds = 3600 }}
"#
    )
}

fn spoke(id: &str, site: &str, address: &str, signing: &str, tls: &str) -> String {
    format!(
        r#"
[[connection]]
id = "{id}"
epoch = 2
state = "pending"
site = "{site}"
spoke = "spoke-alpha"
address = "{address}"
signing_key = "{signing}"
tls_key = "{tls}"
"#
    )
}

#[test]
fn connections_survive_being_written_and_read() {
    let hubs = parse_hubs(&hub("berlin-1", KEYS[0], KEYS[1])).unwrap();
    assert_eq!(hubs[0].grant.limits.wall_clock_seconds, Some(3600));
    assert_eq!(parse_hubs(&render_hubs(&hubs).unwrap()).unwrap(), hubs);
    let spokes = parse_spokes(&spoke("a", "alpha", "host:1", KEYS[0], KEYS[1])).unwrap();
    assert_eq!(
        parse_spokes(&render_spokes(&spokes).unwrap()).unwrap(),
        spokes
    );
    assert_eq!(parse_hubs("").unwrap(), []);
}

#[test]
fn a_key_has_one_use() {
    let signing: VerifyingKey = KEYS[0].parse().unwrap();
    let both = TlsKey::of_signing_key(&signing).to_string();
    let clashes = [
        hub("a", KEYS[0], &both),
        hub("a", KEYS[0], KEYS[1]) + &hub("b", KEYS[0], KEYS[2]),
        hub("a", KEYS[0], KEYS[1]) + &hub("b", KEYS[2], KEYS[1]),
        hub("a", KEYS[0], KEYS[1]) + &hub("b", KEYS[2], &both),
    ];
    for text in clashes {
        let error = parse_hubs(&text).unwrap_err();
        assert!(error.to_string().contains("one use"), "{error}");
    }
}

#[test]
fn what_is_misspelt_missing_or_weak_is_refused() {
    let good = hub("a", KEYS[0], KEYS[1]);
    let weak = format!("01{}", "00".repeat(31));
    let bad = [
        good.replace("repositories", "repositorys"),
        good.replace("epoch = 1\n", ""),
        good.replace("epoch = 1", "epoch = 0"),
        good.replace("epoch = 1", "epoch = -1"),
        good.replace("\"active\"", "\"Active\""),
        good.replace("\"kill_all\"", "\"kill-all\""),
        good.replace("memory_bytes", "memoryBytes"),
        good.replace("\"a\"", "\"../a\""),
        good.replace(KEYS[0], &weak),
        good.replace(KEYS[0], "abc"),
        good.clone() + &hub("a", KEYS[2], KEYS[3]),
        "connection = 1".into(),
        "[[connection".into(),
    ];
    for text in bad {
        assert!(parse_hubs(&text).is_err(), "{text}");
    }
}

#[test]
fn a_site_has_one_connection_and_an_address() {
    let twice = spoke("a", "alpha", "host:1", KEYS[0], KEYS[1])
        + &spoke("b", "alpha", "host:2", KEYS[2], KEYS[3]);
    assert!(parse_spokes(&twice).is_err());
    let over = twice.replacen("pending", "revoked", 1);
    assert_eq!(parse_spokes(&over).unwrap().len(), 2);
    for address in ["", "host", "http://host:1", "a b:1", "user@host:1/x"] {
        let text = spoke("a", "alpha", address, KEYS[0], KEYS[1]);
        assert!(parse_spokes(&text).is_err(), "{address}");
    }
}

#[test]
fn a_cut_off_is_read_and_one_that_a_lost_packet_would_trigger_is_refused() {
    let with = |seconds: u64| {
        let hub = hub("berlin-1", KEYS[0], KEYS[1]);
        let rate = "commands_per_minute = 600";
        hub.replace(rate, &format!("{rate}\ncut_off_seconds = {seconds}"))
    };
    let hubs = parse_hubs(&with(900)).unwrap();
    assert_eq!(
        hubs[0].grant.cut_off,
        Some(std::time::Duration::from_secs(900))
    );
    assert_eq!(parse_hubs(&render_hubs(&hubs).unwrap()).unwrap(), hubs);
    let problem = parse_hubs(&with(59)).unwrap_err().to_string();
    assert!(
        problem.contains("grant.cut_off_seconds: at least 60"),
        "{problem}"
    );
}
