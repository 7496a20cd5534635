//! A real server of a test's own: its own port on loopback, its own folder, killed as a crash
//! kills it, and gone with the value.

mod client;

pub use client::{Client, Reply};

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The names it goes by; Debian 12 has only the older one.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// How long a server may take to answer: a busy machine starts one in a tenth of a second.
const LONG: Duration = Duration::from_secs(20);

/// Whether what it was told survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOnly {
    /// Each write is on disk before it is answered.
    Yes,
    /// It forgets everything.
    No,
}

/// A running, or killed, Valkey server.
#[derive(Debug)]
pub struct Server {
    program: &'static str,
    folder: tempfile::TempDir,
    port: u16,
    append_only: AppendOnly,
    more: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server. `None`, loudly, where there is none; with `MOSAIC_CI=1` that is a failure.
    #[must_use]
    pub fn start(append_only: AppendOnly) -> Option<Self> {
        Self::start_with(append_only, &[])
    }

    /// Starts a server with more arguments, as after `--` in its manual.
    #[must_use]
    pub fn start_with(append_only: AppendOnly, more: &[&str]) -> Option<Self> {
        let there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
        let Some(program) = PROGRAMS.into_iter().find(there) else {
            let promised = std::env::var_os("MOSAIC_CI").is_some_and(|set| set == "1");
            assert!(!promised, "valkey-server or redis-server is needed here");
            eprintln!("##### SKIPPED, NOTHING WAS TESTED: no valkey-server or redis-server #####");
            return None;
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = Self {
            program,
            folder: tempfile::tempdir().unwrap(),
            port,
            append_only,
            more: more.iter().map(|&argument| argument.to_owned()).collect(),
            child: None,
        };
        drop(listener);
        server.run();
        Some(server)
    }

    /// Starts it again, with what it kept, and waits until it answers.
    #[expect(
        clippy::disallowed_methods,
        reason = "a real process starts in real time, also where a test has paused its own"
    )]
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let append_only = match self.append_only {
            AppendOnly::Yes => ["--appendonly", "yes", "--appendfsync", "always"],
            AppendOnly::No => ["--appendonly", "no", "--appendfsync", "no"],
        };
        let mut command = Command::new(self.program);
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .args(append_only)
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let begun = Instant::now();
        loop {
            // A reply of any kind but "loading": it may want a password first.
            match Client::try_connect(self.port).and_then(|mut client| client.try_call(&["PING"])) {
                Ok(Reply::Error(why)) if why.starts_with("LOADING") => {}
                Ok(_) => return,
                Err(_) => {}
            }
            assert!(begun.elapsed() < LONG, "the server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Where it is, as in a configuration.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of the test's own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::try_connect(self.port).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
