//! Appends output. One writer to a file.

use super::{FILE_HEADER, Header, Kind, MAGIC, RECORD_HEADER, RECORD_MAX, Reader, Stream};
use mosaic_common::{Clock, SystemClock};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// A file of output that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    tag: u64,
    end: u64,
    /// Where the file must stop growing; the counts of what was dropped come on top.
    max: u64,
    dropped: [u64; 2],
}

/// What a file of output holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Bytes of both streams.
    pub(crate) bytes: u64,
    /// Whether it is complete: something was dropped after them, and counted.
    pub(crate) complete: bool,
}

impl Writer {
    /// Opens the file to go on with the same output, which as a whole may have `max_bytes`.
    pub(crate) fn resume(path: &Path, max_bytes: u64) -> io::Result<(Self, Kept)> {
        let mut writer = Self::open(path, max_bytes)?;
        writer.max = FILE_HEADER.saturating_add(max_bytes);
        let mut kept = Kept {
            bytes: 0,
            complete: false,
        };
        let reader = Reader::of(writer.file.try_clone()?).map_err(io::Error::other)?;
        let mut at = FILE_HEADER;
        while let Some(reader) = &reader
            && let Some(chunk) = reader.record(at).map_err(io::Error::other)?
        {
            at = chunk.next;
            kept.bytes += chunk.data.len() as u64;
            kept.complete |= chunk.dropped > 0;
        }
        Ok((writer, kept))
    }

    /// Counts bytes of a stream that nobody can read any more, and drops what follows them.
    pub(crate) fn lose(&mut self, stream: Stream, bytes: u64) {
        self.dropped[slot(stream)] += bytes;
    }

    /// Opens the file to append to, or makes it. What an earlier writer left torn is cut off.
    pub(crate) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(path)?;
        let (tag, end) = match Reader::of(file.try_clone()?).map_err(io::Error::other)? {
            Some(reader) => {
                let end = reader.end().map_err(io::Error::other)?;
                file.set_len(end)?;
                (reader.tag, end)
            }
            None => (begin(&file)?, FILE_HEADER),
        };
        Ok(Self {
            file,
            tag,
            end,
            max: end.saturating_add(max_bytes),
            dropped: [0; 2],
        })
    }

    /// Appends what a stream wrote. What does not fit is counted, and everything after it:
    /// output has no holes but at its end.
    pub(crate) fn append(&mut self, stream: Stream, data: &[u8]) -> io::Result<()> {
        for piece in data.chunks(RECORD_MAX) {
            let size = (RECORD_HEADER + piece.len()) as u64;
            if self.dropped != [0; 2] || self.end + size > self.max {
                self.dropped[slot(stream)] += piece.len() as u64;
            } else {
                self.record(Kind::Data(stream), piece)?;
            }
        }
        Ok(())
    }

    /// Writes how much was dropped.
    pub(crate) fn close(mut self) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let dropped = self.dropped[slot(stream)];
            if dropped > 0 {
                self.record(Kind::Dropped(stream), &dropped.to_le_bytes())?;
            }
        }
        self.file.sync_all()
    }

    /// One write for the whole record: a reader sees all of it or a torn end.
    fn record(&mut self, kind: Kind, data: &[u8]) -> io::Result<()> {
        let header = Header {
            millis: SystemClock.now().as_millisecond(),
            length: u32::try_from(data.len()).map_err(io::Error::other)?,
            kind,
        };
        let mut bytes = header.encode(self.tag, self.end).to_vec();
        bytes.extend_from_slice(data);
        self.file.write_all_at(&bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Writes the file's header, with a tag nobody can guess.
fn begin(file: &File) -> io::Result<u64> {
    let mut tag = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut tag)?;
    let header = [MAGIC.as_slice(), &tag].concat();
    file.write_all_at(&header, 0)?;
    Ok(u64::from_le_bytes(tag))
}

fn slot(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}
