//! The lines of an agent's standard output, read from its output file as it grows.

use super::{Error, Stream, read};
use std::path::Path;

/// Longest line that is held. Claude Code's are below a megabyte; what is longer holds a whole
/// file, and is not worth a spoke's memory.
const LINE_MAX: usize = 4 * 1024 * 1024;

/// Bytes read at once.
const READ: usize = 256 * 1024;

/// What comes next of a stream of lines.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    /// One line or more that are not there: too long, or dropped at the limit of the output.
    Lost,
}

/// Where a reader of lines is. Starts at the beginning.
#[derive(Debug, Default)]
pub struct Lines {
    cursor: u64,
    partial: Vec<u8>,
    /// Whether the beginning of the line was thrown away.
    too_long: bool,
}

/// Whether there may be more at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There may.
    Maybe,
    /// All that was there has been read.
    No,
}

impl Lines {
    /// Reads on: a piece of the file, so that a long one is read in many calls. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(&mut self, path: &Path, mut each: impl FnMut(Piece<'_>)) -> Result<More, Error> {
        let chunks = read(path, self.cursor, READ)?;
        let Some(last) = chunks.last() else {
            return Ok(More::No);
        };
        self.cursor = last.next;
        for chunk in chunks {
            if chunk.stream != Stream::Stdout {
                continue;
            }
            if chunk.dropped > 0 {
                (self.partial, self.too_long) = (Vec::new(), true);
                each(Piece::Lost);
            }
            self.take(&chunk.data, &mut each);
        }
        Ok(More::Maybe)
    }

    /// Gives what stands behind the last line end. To be called once the program has ended and
    /// everything was read.
    pub fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !self.partial.is_empty() {
            each(Piece::Line(&self.partial));
        }
        self.partial = Vec::new();
    }

    fn take(&mut self, mut data: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.extend(&data[..end], each);
            if !self.too_long {
                each(Piece::Line(&self.partial));
            }
            self.partial.clear();
            self.partial.shrink_to(READ); // one long line does not stay in memory
            self.too_long = false;
            data = &data[end + 1..];
        }
        self.extend(data, each);
    }

    fn extend(&mut self, data: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if self.too_long {
            return;
        }
        if self.partial.len() + data.len() > LINE_MAX {
            (self.partial, self.too_long) = (Vec::new(), true);
            each(Piece::Lost);
            return;
        }
        self.partial.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Writer;
    use super::*;

    fn lines(max: u64, pieces: &[(Stream, &[u8])]) -> Vec<Option<Vec<u8>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut writer = Writer::open(&path, max).unwrap();
        for (stream, data) in pieces {
            writer.append(*stream, data).unwrap();
        }
        writer.close().unwrap();
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Line(line) => seen.push(Some(line.to_vec())),
            Piece::Lost => seen.push(None),
        };
        while lines.read(&path, &mut each).unwrap() == More::Maybe {}
        lines.finish(&mut each);
        seen
    }

    #[test]
    fn lines_are_put_together_and_the_other_stream_does_not_cut_them() {
        let pieces = [
            (Stream::Stdout, &b"one\ntw"[..]),
            (Stream::Stderr, b"noise\n"),
            (Stream::Stdout, b"o\n\nthree"),
        ];
        let expected = ["one", "two", "", "three"].map(|line| Some(line.into()));
        assert_eq!(lines(1 << 20, &pieces), expected);
    }

    #[test]
    fn a_line_that_is_too_long_is_lost_alone_and_not_held() {
        let long = vec![b'x'; LINE_MAX + 1];
        let pieces = [
            (Stream::Stdout, &b"one\n"[..]),
            (Stream::Stdout, &long),
            (Stream::Stdout, b"rest\ntwo\n"),
        ];
        assert_eq!(
            lines(1 << 24, &pieces),
            [Some(b"one".to_vec()), None, Some(b"two".to_vec())]
        );
    }

    #[test]
    fn output_above_the_limit_is_told_as_lost() {
        let pieces = [
            (Stream::Stdout, &b"one\n"[..]),
            (Stream::Stdout, &[b'x'; 100]),
        ];
        assert_eq!(lines(64, &pieces), [Some(b"one".to_vec()), None]);
    }
}
