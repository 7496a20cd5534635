//! Keeps the outputs of all ended agents together within a bound, the oldest going first.
//!
//! What goes leaves a file that says how many bytes there were: a reader is told of the gap.

use super::{FILE_HEADER, RECORD_HEADER, Stream, Writer};
use std::{ffi::OsString, fs, io, path::Path, time::SystemTime};

/// The file that is left of an output: its header and one record with a number.
const LEFT: u64 = FILE_HEADER + RECORD_HEADER as u64 + 8;

/// One ended agent's output.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ended {
    name: OsString,
    bytes: u64,
    /// When it was last written to.
    written: SystemTime,
}

/// Drops the oldest outputs in `root`, of those that are not `alive`, until the others are at most
/// `most` bytes together. Returns how many were dropped. Blocks.
///
/// # Errors
/// If the folder cannot be read or a file cannot be written; the rest is left for the next time.
pub(crate) fn trim(root: &Path, most: u64, alive: impl Fn(&str) -> bool) -> io::Result<usize> {
    let mut ended = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_alive = name.to_str().is_none_or(&alive);
        let found = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if !is_alive && found.is_file() && found.len() > LEFT {
            ended.push(Ended {
                name,
                bytes: found.len(),
                written: found.modified()?,
            });
        }
    }
    let surplus = surplus(ended, most);
    for Ended { name, bytes, .. } in &surplus {
        drop_all(root, name, *bytes)?;
    }
    Ok(surplus.len())
}

/// Which have to go: the oldest, until the rest fits.
fn surplus(mut ended: Vec<Ended>, most: u64) -> Vec<Ended> {
    ended.sort_by(|one, other| (other.written, &other.name).cmp(&(one.written, &one.name)));
    let mut sum = 0_u64;
    let fits = ended.iter().take_while(|output| {
        sum = sum.saturating_add(output.bytes);
        sum <= most
    });
    let kept = fits.count();
    ended.split_off(kept)
}

/// Puts in an output's place one that says how much there was. A reader sees the one or the other.
fn drop_all(root: &Path, name: &OsString, bytes: u64) -> io::Result<()> {
    let mut beside = OsString::from(".");
    beside.push(name);
    let beside = root.join(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // left by a crash, or not there
    }
    let mut writer = Writer::open(&beside, 0)?;
    writer.lose(Stream::Stdout, bytes);
    writer.close()?;
    fs::rename(&beside, root.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn output(name: &str, bytes: u64, written: u64) -> Ended {
        Ended {
            name: name.into(),
            bytes,
            written: SystemTime::UNIX_EPOCH + Duration::from_secs(written),
        }
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let all = || vec![output("a", 5, 10), output("b", 5, 30), output("c", 5, 20)];
        let gone = |most| -> Vec<OsString> {
            let surplus = surplus(all(), most);
            surplus.into_iter().map(|output| output.name).collect()
        };
        assert_eq!(gone(15), Vec::<OsString>::new());
        assert_eq!(gone(14), ["a"]);
        assert_eq!(gone(5), ["c", "a"]);
        assert_eq!(gone(0), ["b", "c", "a"]);
    }

    #[test]
    fn a_dropped_output_says_what_was_lost_and_one_that_is_written_stays() {
        let root = tempfile::tempdir().unwrap();
        for name in ["ended", "alive"] {
            let mut writer = Writer::open(&root.path().join(name), 1 << 20).unwrap();
            writer.append(Stream::Stdout, &[b'x'; 1000]).unwrap();
            writer.close().unwrap();
        }
        let alive = |name: &str| name == "alive";
        assert_eq!(trim(root.path(), 0, alive).unwrap(), 1);
        let left = super::super::read(&root.path().join("ended"), 0, 10_000).unwrap();
        assert!(left[0].data.is_empty() && left[0].dropped >= 1000);
        assert_eq!(fs::metadata(root.path().join("ended")).unwrap().len(), LEFT);
        let whole = super::super::read(&root.path().join("alive"), 0, 10_000).unwrap();
        assert_eq!(whole[0].data.len(), 1000);
        assert_eq!(
            trim(root.path(), 0, alive).unwrap(),
            0,
            "again, there is nothing to do"
        );
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }
}
