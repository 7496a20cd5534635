//! `mosaic token`: makes, lists and revokes the bearer tokens of a hub, in its data folder.
//!
//! It works beside a running hub, and needs no token itself: whoever may write the data
//! folder is the hub's operator.

use super::Context;
use crate::{
    console::{Form, Paint, Row},
    exit::Exit,
    failure::Failure,
    show,
};
use federation_gateway::tokens::{Role, Token, TokenError, Tokens};
use mosaic_common::Alias;
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Bearer tokens of a hub.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token; it is shown once and kept nowhere
    Create {
        /// The hub's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Whom it is for
        #[arg(long, value_name = "NAME")]
        name: Alias,
        /// What it allows: viewer reads, admin does everything
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// Write it to this new file, mode 0600, instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List tokens, without their secrets
    List {
        /// The hub's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Make a token worthless, at once
    Revoke {
        /// The hub's data folder
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Whose
        #[arg(long, value_name = "NAME")]
        name: Alias,
    },
}

/// What `token create` prints with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    name: &'a Alias,
    role: Role,
    /// The file that holds it.
    token_file: Option<&'a Path>,
    /// The token itself, where no file does.
    token: Option<&'a str>,
}

/// What `token revoke` prints with `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revoked<'a> {
    revoked: &'a Alias,
}

/// Makes, lists or revokes tokens.
///
/// # Errors
/// If the data folder cannot be used, a name is taken, or there is no such token.
pub(crate) async fn run(args: TokenArgs, context: &Context) -> Result<Exit, Failure> {
    match args.verb {
        Verb::Create {
            data,
            name,
            role,
            out,
        } => create(context, &tokens_of(&data)?, &name, role, out.as_deref()).await?,
        Verb::List { data } => {
            let tokens = tokens_of(&data)?.list().await.map_err(store)?;
            print(context, &tokens)?;
        }
        Verb::Revoke { data, name } => {
            if !tokens_of(&data)?.revoke(&name).await.map_err(store)? {
                return Err(Failure::Missing(format!("there is no token {name}")));
            }
            match context.console.form() {
                Form::Json => context.console.object(&Revoked { revoked: &name })?,
                Form::Human => context.console.note(&format!("{name} is revoked")),
            }
        }
    }
    Ok(Exit::Done)
}

/// Opens the tokens. A mistyped folder must not become a new, empty hub.
fn tokens_of(data: &Path) -> Result<Tokens, Failure> {
    if !data.is_dir() {
        let what = format!("{} is no folder", data.display());
        let hint = "--data is the data folder of the hub, as in its configuration";
        return Err(Failure::input_with_hint(what, hint));
    }
    Tokens::of(data).map_err(store)
}

async fn create(
    context: &Context,
    tokens: &Tokens,
    name: &Alias,
    role: Role,
    out: Option<&Path>,
) -> Result<(), Failure> {
    // The file comes first: a token that nobody could keep would be there for ever.
    let file = out.map(new_file).transpose()?;
    let made = tokens.create(name, role).await;
    let kept = made.map_err(refused).and_then(|secret| match file {
        Some(mut file) => writeln!(file, "{secret}")
            .and_then(|()| file.sync_all())
            .map_err(|source| unwritable(out, source))
            .map(|()| secret),
        None => Ok(secret),
    });
    let secret = kept.inspect_err(|_| {
        // Ours, made a moment ago and of no use.
        let _ = out.map(fs::remove_file);
    })?;
    match (context.console.form(), out) {
        (Form::Json, _) => context.console.object(&Created {
            name,
            role,
            token_file: out,
            token: out.is_none().then_some(secret.as_str()),
        }),
        (Form::Human, Some(path)) => {
            let text = format!("{}", path.display());
            context.console.line(Paint::Plain, &text)
        }
        (Form::Human, None) => {
            context
                .console
                .note("this is shown once; keep it in a file of mode 0600");
            context.console.line(Paint::Plain, &secret)
        }
    }
}

fn new_file(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .map_err(|source| unwritable(Some(path), source))
}

fn unwritable(path: Option<&Path>, source: std::io::Error) -> Failure {
    let shown = path.map(Path::display);
    Failure::Write {
        what: shown.map_or_else(String::new, |path| format!("cannot write {path}")),
        source: source.into(),
    }
}

fn refused(error: TokenError) -> Failure {
    match error {
        TokenError::Taken(_) => Failure::Exists(error.to_string()),
        TokenError::Store(error) => store(error),
    }
}

fn store(source: mosaic_store::Error) -> Failure {
    Failure::Write {
        what: "cannot use the hub's tokens".into(),
        source: source.into(),
    }
}

fn print(context: &Context, tokens: &[Token]) -> Result<(), Failure> {
    if context.console.form() == Form::Json {
        return tokens
            .iter()
            .try_for_each(|token| context.console.object(token));
    }
    let rows = tokens.iter().map(|token| Row {
        paint: Paint::Plain,
        cells: vec![
            token.name.to_string(),
            token.role.to_string(),
            show::time(Some(token.created)),
        ],
    });
    let header = ["NAME", "ROLE", "CREATED"];
    context.console.table(&header, rows.collect())
}
