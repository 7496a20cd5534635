//! A frame as one line of text. A container engine's log keeps lines of up to 16 KiB whole, and
//! may lose whatever is not UTF-8; so a line is base64, and knows its place in the output.

use super::frames::Frame;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// Most output of one line: with the rest, and in base64, below 16 KiB.
pub(super) const LINE_DATA_MAX: usize = 11 * 1024;

/// A frame, and how many bytes of output were said before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: u64,
    pub(crate) frame: Frame,
}

impl Line {
    /// As text, with a line end.
    pub(super) fn encode(&self) -> String {
        let mut bytes = self.at.to_le_bytes().to_vec();
        drop(self.frame.write(&mut bytes)); // into memory: cannot fail
        let mut text = STANDARD_NO_PAD.encode(bytes);
        text.push('\n');
        text
    }

    /// Reads a line, with or without its end; `None` if `init` did not write it.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let bytes = STANDARD_NO_PAD.decode(text.trim_ascii_end()).ok()?;
        let (at, mut frame) = bytes.split_first_chunk()?;
        Some(Self {
            at: u64::from_le_bytes(*at),
            frame: Frame::read(&mut frame).ok()??,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_fits_into_a_log_entry() {
        let data: Vec<u8> = (0..LINE_DATA_MAX).map(|at| at.to_le_bytes()[0]).collect();
        for frame in [
            Frame::Runs,
            Frame::Stdout(data),
            Frame::Stderr(vec![0, 255, 10]),
            Frame::OutOfMemory,
            Frame::Exited(-1),
        ] {
            let line = Line { at: 1 << 40, frame };
            let text = line.encode();
            assert!(text.len() < 16 * 1024, "{}", text.len());
            assert_eq!(text.matches('\n').count(), 1);
            assert_eq!(Line::decode(text.as_bytes()), Some(line));
        }
    }

    #[test]
    fn what_others_write_is_no_line() {
        for text in [
            "",
            "\n",
            "panic!",
            "AAAA",
            "error while loading shared libraries",
        ] {
            assert_eq!(Line::decode(text.as_bytes()), None, "{text}");
        }
    }
}
