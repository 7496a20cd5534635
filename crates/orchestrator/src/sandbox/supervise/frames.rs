//! What `init` says to its supervisor: frames of a kind, a length and data.

use crate::sandbox::Ending;
use std::io::{self, Read, Write};

/// Longest data of a frame: what is read from the program at once.
pub(super) const DATA_MAX: usize = 32 * 1024;

/// One thing that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The program runs.
    Runs,
    /// It could not be started, and why.
    Failed(String),
    /// It wrote to standard output.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// The kernel killed one of its processes for want of memory.
    OutOfMemory,
    /// Nobody said what to start.
    Untold,
}

impl Frame {
    /// The frame of an ending.
    pub(super) fn of(ending: &Ending) -> Self {
        match ending {
            Ending::Exit(code) => Self::Exited(*code),
            Ending::Signal(signal) => Self::Signalled(*signal),
            Ending::OutOfMemory => Self::OutOfMemory,
            Ending::Unknown(why) => Self::Failed(why.clone()),
        }
    }

    /// What the program wrote, if that is what it says.
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Self::Stdout(data) | Self::Stderr(data) => data,
            _ => &[],
        }
    }

    /// Writes the frame in one piece.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let number;
        let (kind, data): (u8, &[u8]) = match self {
            Self::Runs => (b'R', &[]),
            Self::Failed(why) => (b'F', why.as_bytes()),
            Self::Stdout(data) => (b'O', data),
            Self::Stderr(data) => (b'E', data),
            Self::Exited(code) => {
                number = code.to_le_bytes();
                (b'X', &number)
            }
            Self::Signalled(signal) => {
                number = signal.to_le_bytes();
                (b'S', &number)
            }
            Self::OutOfMemory => (b'M', &[]),
            Self::Untold => (b'U', &[]),
        };
        let data = &data[..data.len().min(DATA_MAX)];
        let length = u32::try_from(data.len()).unwrap_or_default().to_le_bytes(); // at most DATA_MAX
        to.write_all(&[&[kind], length.as_slice(), data].concat())
    }

    /// Reads a frame; `None` at the end.
    ///
    /// # Errors
    /// If what is there is no frame: then nothing that follows can be trusted.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 5];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > DATA_MAX {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut data = vec![0; length];
        from.read_exact(&mut data)?;
        let number = || {
            data.as_slice()
                .try_into()
                .map(i32::from_le_bytes)
                .map_err(io::Error::other)
        };
        Ok(Some(match kind {
            b'R' => Self::Runs,
            b'F' => Self::Failed(String::from_utf8_lossy(&data).into_owned()),
            b'O' => Self::Stdout(data),
            b'E' => Self::Stderr(data),
            b'X' => Self::Exited(number()?),
            b'S' => Self::Signalled(number()?),
            b'M' => Self::OutOfMemory,
            b'U' => Self::Untold,
            _ => return Err(io::Error::other("a frame is of no kind that is known")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let frames = [
            Frame::Runs,
            Frame::Failed("no".into()),
            Frame::Stdout(vec![0, 255, 10]),
            Frame::Stderr(Vec::new()),
            Frame::Exited(139),
            Frame::Signalled(11),
            Frame::OutOfMemory,
            Frame::Untold,
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.write(&mut bytes).unwrap();
        }
        let mut from = bytes.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut from).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut from).unwrap(), None);
    }

    #[test]
    fn nonsense_is_no_frame() {
        assert!(Frame::read(&mut [b'?', 0, 0, 0, 0].as_slice()).is_err());
        assert!(Frame::read(&mut [b'O', 255, 255, 255, 255].as_slice()).is_err());
        assert!(Frame::read(&mut [b'X', 1, 0, 0, 0, 7].as_slice()).is_err());
    }
}
