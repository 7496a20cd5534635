//! A spoke in a network of its own, with one cable to the rest of the world.

use super::{World, mosaic};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// A network namespace, and a pair of devices that leads there. Goes when it is dropped.
pub(crate) struct Cable {
    name: String,
    third: u8,
}

impl Cable {
    /// Lays it; `None`, and a word about it, where that is not allowed.
    pub(crate) fn lay() -> Option<Self> {
        let promised = std::env::var_os("MOSAIC_CI").is_some_and(|set| set == "1");
        if !rustix::process::geteuid().is_root() {
            assert!(!promised, "the tests do not run as root");
            eprintln!("SKIPPED: only root can make networks, so a partition was NOT tested");
            return None;
        }
        let third = u8::try_from(std::process::id() % 250).unwrap();
        let cable = Self {
            name: format!("mosaic-{}", std::process::id()),
            third,
        };
        let (inside, outside) = (cable.device("i"), cable.device("o"));
        ip(&["netns", "add", &cable.name]);
        ip(&[
            "link", "add", &outside, "type", "veth", "peer", "name", &inside,
        ]);
        ip(&["link", "set", &inside, "netns", &cable.name]);
        ip(&[
            "addr",
            "add",
            &format!("10.201.{third}.1/30"),
            "dev",
            &outside,
        ]);
        ip(&["link", "set", &outside, "up"]);
        let there = ["-n", &cable.name];
        let address = format!("10.201.{third}.2/30");
        ip(&[&there[..], &["addr", "add", &address, "dev", &inside]].concat());
        ip(&[&there[..], &["link", "set", &inside, "up"]].concat());
        ip(&[&there[..], &["link", "set", "lo", "up"]].concat());
        Some(cable)
    }

    /// Cuts it, so that packets vanish and nobody is told.
    pub(crate) fn cut(&self) {
        ip(&["link", "set", &self.device("o"), "down"]);
    }

    /// Mends it.
    pub(crate) fn mend(&self) {
        ip(&["link", "set", &self.device("o"), "up"]);
    }

    fn device(&self, end: &str) -> String {
        format!("mo{end}{}", std::process::id())
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // With the network goes the device in it, and with that its pair.
        drop(
            Command::new("ip")
                .args(["netns", "del", &self.name])
                .status(),
        );
    }
}

impl World {
    /// Moves a spoke to the far end of a cable.
    pub(crate) fn move_spoke(&mut self, spoke: &str, cable: &Cable) {
        self.signal(spoke, "-TERM");
        self.ended(spoke);
        let here = self.spokes[spoke].0;
        let address = format!("10.201.{}.2:{}", cable.third, here.port());
        let there: SocketAddr = address.parse().unwrap();
        let file = self.folder().join(format!("{spoke}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replace(&here.to_string(), &address)).unwrap();
        self.networks.insert(spoke.to_owned(), cable.name.clone());
        self.start_spoke(spoke);
        self.detour(spoke, there);
    }
}

/// The program, in a network.
pub(super) fn within(network: &str) -> Command {
    let plain = mosaic();
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{network}"))
        .arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments:?}: {said}");
}
