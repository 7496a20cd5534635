//! Hubs that die, and ways to spokes that break.

use super::{Said, World, mosaic};
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

impl World {
    /// Kills a hub and starts it again; it dies when it reaches the failpoint, if one is named.
    pub(crate) fn restart_hub(&mut self, hub: &str, failpoint: Option<&str>) {
        if self.hubs[hub].1.is_some() {
            self.signal(hub, "-KILL");
            self.ended(hub);
        }
        self.failpoint = failpoint.map(str::to_owned);
        self.start_hub(hub);
        self.failpoint = None;
    }

    /// Lets the hub called `hub` reach a site at another address, and give it up soon.
    pub(crate) fn detour(&mut self, site: &str, address: SocketAddr) {
        let file = self.data("hub").join("connections.toml");
        let text = fs::read_to_string(&file).unwrap();
        let direct = self.spokes[site].0.to_string();
        fs::write(file, text.replace(&direct, &address.to_string())).unwrap();
        let file = self.folder().join("hub.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text + "[limits]\nsite_seconds = 5\n").unwrap();
        self.restart_hub("hub", None);
    }

    /// Where a spoke listens for hubs.
    pub(crate) fn spoke_address(&self, spoke: &str) -> SocketAddr {
        self.spokes[spoke].0
    }

    /// Starts `mosaic` against the hub called `hub`, and does not wait for it.
    pub(crate) fn begin(&self, arguments: &[&str], out: &str) -> Child {
        let endpoint = format!("http://{}", self.hub_address("hub"));
        mosaic()
            .args(["--json", "--endpoint", &endpoint, "--token-file"])
            .arg(self.token_file("hub"))
            .args(arguments)
            .stdout(fs::File::create(self.folder().join(out)).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// What the hub has on record of a command, if anything.
    pub(crate) fn record(&self, command: &str) -> Option<serde_json::Value> {
        let told = self.hub(&["commands"]).lines();
        told.into_iter()
            .find(|record| record["commandId"] == command)
    }

    /// How many agents a spoke has ever had.
    pub(crate) fn agents(&self, spoke: &str) -> usize {
        let listed: Said = self.at_spoke(spoke, &["ps", "--all"]);
        assert_eq!(listed.code, 0, "{}", listed.err);
        listed.lines().len()
    }

    /// Sequence numbers of events in a file of JSON lines.
    pub(crate) fn sequences(&self, out: &str) -> Vec<u64> {
        let text = fs::read_to_string(self.folder().join(out)).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter_map(|event: serde_json::Value| event["sequence"].as_u64())
            .collect()
    }

    /// Sequence numbers of every event of a spoke, asked there.
    pub(crate) fn all_sequences(&self, spoke: &str) -> Vec<u64> {
        let told = self.at_spoke(spoke, &["watch", "--no-follow"]).lines();
        told.iter()
            .filter_map(|event| event["sequence"].as_u64())
            .collect()
    }
}

/// Ends a program that was begun.
pub(crate) fn end(mut child: Child) {
    drop(child.kill());
    drop(child.wait());
}
