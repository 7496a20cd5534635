//! `mosaic result --bundle`: an agent's commits as a file that git can fetch from.

use crate::{
    commands::Context,
    console::{Form, Paint},
    failure::Failure,
    view::result::{BundleView, ResultView},
};
use mosaic_common::proto::agent::v1 as pb;
use pb::result_response::Item;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;
use tonic::Streaming;

/// Writes the bundle beside its place, and moves it there when it is whole.
///
/// # Errors
/// If it breaks off, or the file cannot be written. What stood there before stands there then.
pub(super) async fn write(
    context: &Context,
    place: &Path,
    force: bool,
    mut items: Streaming<pb::ResultResponse>,
) -> Result<(), Failure> {
    let failed = |source| Failure::Write {
        what: format!("cannot write {}", place.display()),
        source,
    };
    let folder = place
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file =
        NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(|e| failed(e.into()))?;
    let (mut summary, mut bytes) = (None, 0);
    let waiting = context.console.waiting("receiving the bundle");
    while let Some(response) = items.message().await? {
        match response.item {
            Some(Item::Summary(wire)) => summary = Some(ResultView::from(wire)),
            Some(Item::Bundle(piece)) => {
                bytes += piece.len() as u64;
                file.write_all(&piece).map_err(|e| failed(e.into()))?;
            }
            Some(Item::Commit(_) | Item::Patch(_)) | None => {}
        }
    }
    drop(waiting);
    let summary = summary.ok_or(Failure::Answer("summary"))?;
    if bytes == 0 {
        return Err(Failure::Answer("bundle")); // an older server takes it for a summary
    }
    file.as_file().sync_all().map_err(|e| failed(e.into()))?;
    let moved = if force {
        file.persist(place)
    } else {
        file.persist_noclobber(place)
    };
    moved.map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::input(format!(
            "{} is there already; --force replaces it",
            place.display()
        )),
        _ => failed(error.error.into()),
    })?;
    let view = BundleView {
        bundle: place.display().to_string(),
        bytes,
        base_commit: summary.base_commit,
        rescue_commit: summary.rescue_commit,
        rescue_ref: summary.rescue_ref,
    };
    match context.console.form() {
        Form::Json => context.console.object(&view),
        Form::Human => {
            let text = format!("git fetch {} {}", view.bundle, view.rescue_ref);
            context.console.note(&format!(
                "{} bytes written; in a clone that has {}:",
                view.bytes, view.base_commit
            ));
            context.console.line(Paint::Plain, &text)
        }
    }
}
