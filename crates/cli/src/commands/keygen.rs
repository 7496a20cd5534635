//! `mosaic keygen`: makes the identity of a hub or a spoke, and prints its public half.

use super::Context;
use crate::{
    console::{Form, Paint},
    exit::Exit,
    failure::Failure,
};
use mosaic_common::Alias;
use mosaic_federation::identity::{Identity, IdentityError, PublicIdentity};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Whose identity, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// The id of the hub or spoke
    #[arg(long, value_name = "ID")]
    id: Alias,
    /// The folder for its keys; made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What `keygen` prints with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicView<'a> {
    id: &'a Alias,
    signing_key: String,
    tls_key: String,
    folder: &'a Path,
}

/// Makes an identity.
///
/// # Errors
/// If there is one already, or if it cannot be written.
pub(crate) fn run(args: &KeygenArgs, context: &Context) -> Result<Exit, Failure> {
    let identity = Identity::generate(&args.out, args.id.clone()).map_err(refused)?;
    let public = identity.public();
    match context.console.form() {
        Form::Json => context.console.object(&PublicView {
            id: &public.id,
            signing_key: public.signing_key.to_string(),
            tls_key: public.tls_key.to_string(),
            folder: &args.out,
        })?,
        Form::Human => {
            let folder = args.out.display();
            context
                .console
                .note(&format!("the keys of {} are in {folder}", public.id));
            for line in snippet(&public) {
                context.console.line(Paint::Plain, &line)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The public half, as the other side's connections file spells it.
///
/// Whether the id is the hub's or the spoke's is for its operator to know: both lines are
/// there, one to be taken.
fn snippet(public: &PublicIdentity) -> [String; 5] {
    let id = &public.id;
    [
        format!("# {id}: paste into its [[connection]] at the other side"),
        format!("# hub = \"{id}\"     # if it is a hub"),
        format!("# spoke = \"{id}\"   # if it is a spoke"),
        format!("signing_key = \"{}\"", public.signing_key),
        format!("tls_key = \"{}\"", public.tls_key),
    ]
}

fn refused(error: IdentityError) -> Failure {
    match error {
        IdentityError::Exists { .. } => Failure::Exists(error.to_string()),
        IdentityError::Read { .. }
        | IdentityError::Write { .. }
        | IdentityError::Exposed { .. }
        | IdentityError::Id { .. }
        | IdentityError::SigningKey { .. }
        | IdentityError::Pem { .. }
        | IdentityError::Certificate(_) => Failure::Write {
            what: "cannot make the identity".into(),
            source: error.into(),
        },
    }
}
