//! Which container image agents of `up` and `demo` live in, and whether it may be fetched.

use orchestrator::config::Docker;

/// The image, where agents live in containers.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// The image of agents that live in docker
    #[arg(long, value_name = "IMAGE", default_value_t = Docker::default().image)]
    image: String,
    /// Fetch the image if it is not there; nothing is ever fetched unasked
    #[arg(long)]
    pull: bool,
}

impl ImageArgs {
    /// The engine's settings.
    pub(crate) fn docker(&self) -> Docker {
        Docker {
            image: self.image.clone(),
            pull: self.pull,
            ..Docker::default()
        }
    }
}
