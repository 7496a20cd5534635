//! Which failpoints there are: read from the source, so that none is forgotten.

use crate::world::Part;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// How a point begins in the source.
const MARK: &str = "failpoint!(\"";

/// A place where a process can be made to die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// `part.what`.
    pub name: String,
    /// The parts of the product that pass it.
    pub victims: Vec<Part>,
}

/// Every point of the crates below `root`, in the order of their names.
///
/// # Errors
/// If the source cannot be read.
pub fn points(root: &Path) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for entry in fs::read_dir(root).with_context(|| root.display().to_string())? {
        let path = entry?.path();
        let victims = match path.file_name().and_then(|name| name.to_str()) {
            Some("federation-gateway") => vec![Part::Hub],
            Some("orchestrator") => vec![Part::Spoke],
            // Names of examples, not of places.
            Some("common" | "chaos") | None => continue,
            // Whoever passes it first.
            Some(_) => vec![Part::Hub, Part::Spoke],
        };
        scan(&path.join("src"), &victims, &mut points)?;
    }
    points.sort_by(|one, other| one.name.cmp(&other.name));
    points.dedup_by(|one, other| one.name == other.name);
    Ok(points)
}

fn scan(folder: &Path, victims: &[Part], points: &mut Vec<Point>) -> Result<()> {
    let Ok(listed) = fs::read_dir(folder) else {
        return Ok(()); // a crate without it
    };
    for entry in listed {
        let path = entry?.path();
        if path.is_dir() {
            scan(&path, victims, points)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            points.extend(names(&text).map(|name| Point {
                name: name.to_owned(),
                victims: victims.to_vec(),
            }));
        }
    }
    Ok(())
}

/// Names of points in a source text; what stands in a comment is none.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.filter_map(|line| line.split_once(MARK)?.1.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn points_are_read_from_code_and_not_from_comments() {
        let text =
            "//! `failpoint!(\"in.comment\")`\n    failpoint!(\"a.b\");\nfailpoint!(\"c.d\");\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["a.b", "c.d"]);
    }
}
