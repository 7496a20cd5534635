//! `mosaic inventory`: counts what a spoke has on this machine, without asking the spoke.

use super::Context;
use crate::{
    console::{Form, Paint},
    exit::Exit,
    failure::Failure,
    inventory::Inventory,
};
use std::path::PathBuf;

/// Whose.
#[derive(Debug, clap::Args)]
pub(crate) struct InventoryArgs {
    /// The spoke's data folder: `data` in its configuration
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The socket of the container engine; without one no containers are counted
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock")]
    docker: PathBuf,
}

/// Counts, and changes nothing.
///
/// # Errors
/// If the folder is none of a spoke, or may not be read.
pub(crate) async fn run(args: &InventoryArgs, context: &Context) -> Result<Exit, Failure> {
    // Containers are labelled with the whole path.
    let data = std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone());
    let seen = Inventory::take(&data, &args.docker).await;
    let seen =
        seen.map_err(|error| Failure::input(format!("{}: {error:#}", args.data.display())))?;
    match context.console.form() {
        Form::Json => context.console.object(&seen)?,
        Form::Human => seen.rows().iter().try_for_each(|(name, count)| {
            context
                .console
                .line(Paint::Plain, &format!("{count:>6}  {name}"))
        })?,
    }
    Ok(Exit::Done)
}
