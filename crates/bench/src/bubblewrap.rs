//! An agent's start and end in bubblewrap, against `bwrap` run directly, and `kill` and a removal.
//!
//! Each round starts and ends one of ours and one of the floor, so that both meet the same machine.

use crate::agent::{self, Events, IDLE};
use crate::lab::Lab;
use crate::raw::{Raw, Recipe};
use crate::report::{Against, Measured, Row};
use crate::site::{Client, REPOSITORY, Site};
use mosaic_common::{AgentId, CommandId};
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// What a spawn may take beyond the floor, in milliseconds.
const SPAWN_AIM: f64 = 10.0;
/// The most that a kill may be of the floor's.
const KILL_AIM: f64 = 1.2;

/// The floor's share of both families: which door ours comes in by, and with what.
const WAYS: [Way; 3] = [Way::Hub, Way::Spoke, Way::Work];

/// How ours is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through hub and spoke, without a repository.
    Hub,
    /// At the spoke's own socket, without a repository.
    Spoke,
    /// Through hub and spoke, in a worktree of 50 files that is rescued at the end.
    Work,
}

/// Milliseconds of starts and of ends.
#[derive(Debug, Default)]
struct Series {
    starts: Vec<f64>,
    ends: Vec<f64>,
}

/// What came of one way.
struct Compared {
    ours: Series,
    floor: Series,
}

/// Measures starts and ends together: who has been started has to be ended.
pub(crate) async fn measure(lab: &Lab) -> (Vec<Row>, Vec<Row>) {
    let scene = Scene::set(lab).await;
    let (mut spawns, mut kills) = (Vec::new(), Vec::new());
    for way in WAYS {
        let compared = match &scene {
            Ok(scene) => scene.compare(way, lab.often(60, 3)).await,
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        let (spawn, kill) = match compared {
            Ok(Compared { ours, floor }) => (
                Measured::times(ours.starts, floor.starts, Against::Difference),
                Measured::times(ours.ends, floor.ends, Against::Ratio),
            ),
            Err(error) => (Err(anyhow::anyhow!("{error:#}")), Err(error)),
        };
        let name = way.name();
        let (spawn, kill) = match way {
            Way::Hub | Way::Spoke => (
                spawn.map(|spawn| spawn.aiming(SPAWN_AIM)),
                kill.map(|kill| kill.aiming(KILL_AIM)),
            ),
            // The floor neither checks files out nor commits them: told without an aim.
            Way::Work => (spawn, kill),
        };
        spawns.push(Row::new(
            &format!("spawn to running, bubblewrap, {name}"),
            spawn,
        ));
        kills.push(Row::new(
            &format!("kill to proof, bubblewrap, {name}"),
            kill,
        ));
    }
    (spawns, kills)
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Hub => "through hub and spoke",
            Self::Spoke => "at the spoke",
            Self::Work => "through both, 50 files to check out and to rescue",
        }
    }

    fn repository(self) -> &'static str {
        match self {
            Self::Hub | Self::Spoke => "",
            Self::Work => REPOSITORY,
        }
    }
}

struct Scene {
    recipe: Recipe,
    // Dropped before the folder that it is in.
    site: Site,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn set(lab: &Lab) -> anyhow::Result<Self> {
        lab.needs_bubblewrap()?;
        let folder = lab.folder()?;
        let site = lab.site(folder.path()).await?;
        let mut client = site.at_hub().await?;
        let mut events = Events::of(&mut client).await?;
        let agent = agent::spawn(&mut client, IDLE, "").await?;
        events.until_running(&agent).await?;
        let recipe = Recipe::learn(&agents_folder(&site, &agent))?;
        agent::kill(&mut client, &agent).await?;
        std::fs::create_dir(folder.path().join("floor"))?;
        crate::site::pass_through(&folder.path().join("floor"))?;
        Ok(Self {
            recipe,
            site,
            folder,
        })
    }

    async fn compare(&self, way: Way, rounds: usize) -> anyhow::Result<Compared> {
        let mut client = match way {
            Way::Hub | Way::Work => self.site.at_hub().await?,
            Way::Spoke => self.site.at_spoke().await?,
        };
        let mut events = Events::of(&mut client).await?;
        let (mut ours, mut floor) = (Series::default(), Series::default());
        // The first round warms up.
        for round in 0..=rounds {
            let taken = self.ours(&mut client, &mut events, way).await?;
            let least = self.floor(way).await?;
            if round > 0 {
                ours.add(taken);
                floor.add(least);
            }
        }
        Ok(Compared { ours, floor })
    }

    /// Starts and kills an agent; returns the milliseconds of both.
    async fn ours(
        &self,
        client: &mut Client,
        events: &mut Events,
        way: Way,
    ) -> anyhow::Result<[f64; 2]> {
        let agent = AgentId::of_command(CommandId::random()).to_string();
        let workdir = agents_folder(&self.site, &agent).join("worktree");
        let begun = Instant::now();
        agent::spawn_as(client, &agent, IDLE, way.repository()).await?;
        events.until_running(&agent).await?;
        agent::until_ready(&workdir).await?;
        let start = milliseconds(begun);
        let begun = Instant::now();
        agent::kill(client, &agent).await?;
        Ok([start, milliseconds(begun)])
    }

    /// The same by hand. The folder is made, and its files copied, before anything is measured.
    async fn floor(&self, way: Way) -> anyhow::Result<[f64; 2]> {
        let folder = self.folder.path().join("floor/agent");
        self.recipe.folder(&folder)?;
        if way == Way::Work {
            copy_files(
                &self.folder.path().join("repository"),
                &folder.join("worktree"),
            )?;
        }
        let begun = Instant::now();
        let raw: Raw = self.recipe.start(&folder).await?;
        let start = milliseconds(begun);
        let inside = raw.inside()?;
        let begun = Instant::now();
        raw.kill(&inside)?;
        Ok([start, milliseconds(begun)])
    }
}

impl Series {
    fn add(&mut self, [start, end]: [f64; 2]) {
        self.starts.push(start);
        self.ends.push(end);
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn agents_folder(site: &Site, agent: &str) -> PathBuf {
    site.data().join("agents").join(agent)
}

/// Copies a folder's files, and not its `.git`.
fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == ".git" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&place)?;
            copy_files(&path, &place)?;
        } else {
            std::fs::copy(&path, &place)?;
        }
    }
    Ok(())
}
