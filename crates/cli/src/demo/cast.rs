//! The hub and the spokes, as operating-system processes; and the reader that counts.

use super::scene::Scene;
use crate::inventory::Inventory;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a process may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processes of the demo. They die with it.
pub(super) struct Cast {
    players: Vec<(String, Child)>,
}

impl Cast {
    /// Starts spokes, then hub, and waits until each can be reached.
    pub(super) async fn start(scene: &Scene) -> Result<Self> {
        let mut cast = Self {
            players: Vec::new(),
        };
        for spoke in scene.spokes() {
            cast.play(&spoke.name, "spoke", &spoke.config, scene)?;
        }
        cast.play("hub", "hub", &scene.hub_config(), scene)?;
        for spoke in scene.spokes() {
            let socket = spoke.socket();
            cast.ready(&spoke.name, || UnixStream::connect(socket.clone()))
                .await?;
        }
        let hub = scene.hub_address();
        cast.ready("hub", || TcpStream::connect(hub)).await?;
        Ok(cast)
    }

    /// Name and process id of each.
    pub(super) fn players(&self) -> impl Iterator<Item = (&str, u32)> {
        self.players
            .iter()
            .map(|(name, child)| (name.as_str(), child.id().unwrap_or_default()))
    }

    /// Runs the reader on a spoke's data folder.
    pub(super) async fn inventory(&self, data: &Path) -> Result<Inventory> {
        let read = Command::new(super::own_program()?)
            .arg("inventory")
            .arg("--json")
            .arg(data)
            .output()
            .await?;
        ensure!(
            read.status.success(),
            "the reader failed: {}",
            String::from_utf8_lossy(&read.stderr).trim()
        );
        serde_json::from_slice(&read.stdout).context("the reader's answer cannot be read")
    }

    /// Asks all to stop and waits for that.
    pub(super) async fn stop(&mut self) -> Result<()> {
        for (name, child) in self.players.iter().rev() {
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            let pid = pid.with_context(|| format!("{name} had ended before it was asked to"))?;
            kill_process(pid, Signal::TERM).with_context(|| format!("cannot signal {name}"))?;
        }
        for (name, child) in self.players.iter_mut().rev() {
            let status = timeout(PATIENCE, child.wait())
                .await
                .with_context(|| format!("{name} does not stop"))??;
            ensure!(status.success(), "{name} stopped with {status}");
        }
        Ok(())
    }

    fn play(&mut self, name: &str, part: &str, config: &Path, scene: &Scene) -> Result<()> {
        let log = std::fs::File::create(scene.log(name))?;
        let child = Command::new(super::own_program()?)
            .args([part, "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.players.push((name.to_owned(), child));
        Ok(())
    }

    async fn ready<T, F: Future<Output = std::io::Result<T>>>(
        &mut self,
        name: &str,
        reach: impl Fn() -> F,
    ) -> Result<()> {
        let ask = async {
            while reach().await.is_err() {
                self.alive(name)?;
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, ask)
            .await
            .with_context(|| format!("{name} cannot be reached"))?
    }

    fn alive(&mut self, name: &str) -> Result<()> {
        for (player, child) in &mut self.players {
            if let Some(status) = child.try_wait()?.filter(|_| player == name) {
                bail!("{name} ended with {status}; its log is below");
            }
        }
        Ok(())
    }
}
