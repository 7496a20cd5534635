//! Facts about the machine that numbers depend on.

use rustix::system::uname;
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// Where the numbers come from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// The day, in UTC.
    date: String,
    /// The processor's name.
    processor: String,
    /// Processors that this process may use.
    cores: usize,
    kernel: String,
    /// The file system of the folder that was measured in.
    file_system: String,
    /// How busy the machine was before anything was measured: processes that wanted to run, on
    /// average over a minute.
    load: String,
    git: String,
    bubblewrap: String,
    docker: String,
    /// Whether it was the optimised build: no other counts.
    is_release: bool,
    /// Whether fewer samples than usual were taken.
    is_quick: bool,
}

impl Machine {
    /// Asks this machine; `folder` is where will be measured.
    pub(crate) fn ask(folder: &Path, is_quick: bool) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            date: said("date", &["-u", "+%Y-%m-%d"]),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: uname().release().to_string_lossy().into_owned(),
            file_system: said(
                "findmnt",
                &["-no", "FSTYPE", "-T", &folder.display().to_string()],
            ),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            git: said("git", &["--version"]),
            bubblewrap: said("bwrap", &["--version"]),
            docker: said(
                "docker",
                &["version", "--format", "docker {{.Server.Version}}"],
            ),
            is_release: !cfg!(debug_assertions),
            is_quick,
        }
    }

    /// All of it on one line, for people.
    pub(crate) fn line(&self) -> String {
        let Self {
            date,
            processor,
            cores,
            kernel,
            file_system,
            load,
            git,
            bubblewrap,
            docker,
            is_release,
            is_quick,
        } = self;
        let mut line = format!(
            "{date}, {processor}, {cores} cores, Linux {kernel}, {file_system}, load {load} before, \
             {git}, {bubblewrap}, {docker}"
        );
        if !is_release {
            line.push_str("; NOT an optimised build: these numbers mean nothing");
        }
        if *is_quick {
            line.push_str("; quick: too few samples to say much");
        }
        line
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find(|line| line.starts_with("model name"));
    let name = named.and_then(|line| line.split_once(": "));
    name.map_or_else(
        || "unknown processor".to_owned(),
        |(_, name)| name.to_owned(),
    )
}

/// The first line that a program prints, or that there is none.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.ok().filter(|output| output.status.success());
    let text = text.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.as_deref().and_then(|text| text.lines().next());
    line.map_or_else(|| format!("no {program}"), ToOwned::to_owned)
}
