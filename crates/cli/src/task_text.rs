//! Where the text of a task comes from: the command line, a file, or standard input.

use crate::failure::Failure;
use mosaic_common::agent::TASK_MAX;
use std::{fs::File, io::Read};

/// Reads the task that `argument` stands for: `-` is standard input, `@FILE` a file,
/// anything else the text itself.
///
/// # Errors
/// If it cannot be read, is too long, or is not UTF-8.
pub(crate) fn read(argument: &str) -> Result<String, Failure> {
    let (bytes, source) = if argument == "-" {
        (bounded(std::io::stdin()), "standard input".to_owned())
    } else if let Some(path) = argument.strip_prefix('@') {
        (File::open(path).and_then(bounded), path.to_owned())
    } else {
        (Ok(argument.as_bytes().to_vec()), "TASK".to_owned())
    };
    let fail = |why: &str| Failure::input(format!("cannot take the task from {source}: {why}"));
    let bytes = bytes.map_err(|error| fail(&error.to_string()))?;
    if bytes.len() > TASK_MAX {
        return Err(fail(&format!("it is longer than {TASK_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8"))
}

/// Reads one byte more than is allowed, so that too much can be told from just enough.
fn bounded(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(TASK_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(bytes: &[u8]) -> Result<String, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(&format!("@{}", file.path().display()))
    }

    #[test]
    fn a_task_is_taken_from_the_line_or_from_a_file() {
        assert_eq!(read("fix it").unwrap(), "fix it");
        assert_eq!(from_file("füx\n".as_bytes()).unwrap(), "füx\n");
        assert_eq!(from_file(&vec![b'x'; TASK_MAX]).unwrap().len(), TASK_MAX);
    }

    #[test]
    fn a_task_that_cannot_be_sent_is_refused_here() {
        let table = [
            (from_file(&vec![b'x'; TASK_MAX + 1]), "longer"),
            (from_file(b"\xff"), "UTF-8"),
            (read("@/nonexistent/task"), "No such file"),
            (read("@/dev/zero"), "longer"),
        ];
        for (outcome, why) in table {
            let failure = outcome.unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
            assert_eq!(failure.exit(), crate::exit::Exit::Usage);
        }
    }
}
