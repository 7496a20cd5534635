//! An agent's output on disk: records that a supervisor appends and anyone may read from a cursor.
//!
//! A file is a header of 16 bytes, then records. A record's header holds the file's random tag
//! combined with the record's own offset: a cursor that is not a record's beginning is found out,
//! and no output can pass for a record. The end may be torn: what is not whole is not there yet.

use bytes::Bytes;
use jiff::Timestamp;
use std::{fs::File, io, os::unix::fs::FileExt, path::Path, time::Duration};

mod lines;
mod trim;
mod writer;

pub use lines::{Lines, More, Piece};
pub(crate) use trim::trim;
pub(crate) use writer::{Kept, Writer};

/// The first bytes of a file; the last one is the version.
const MAGIC: &[u8; 8] = b"mosaic\x01\x01";
/// Magic and tag.
const FILE_HEADER: u64 = 16;
/// Check (8), time in milliseconds (8), length (4), kind (1), unused (3).
const RECORD_HEADER: usize = 24;
/// Longest data of a record: what one message to a client holds.
pub(crate) const RECORD_MAX: usize = 32 * 1024;

/// How often a file is looked at for more: people follow output, and do not notice this.
const POLL: Duration = Duration::from_millis(100);

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// When it was read from the agent.
    pub at: Timestamp,
    /// Which stream.
    pub stream: Stream,
    /// What was written: bytes, not necessarily text.
    pub data: Bytes,
    /// The cursor that goes on after it.
    pub next: u64,
    /// Bytes of the stream dropped just before it because the limit was reached.
    pub dropped: u64,
}

/// Why output could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor came from elsewhere.
    #[error("{0} is no cursor of this output; pass 0 or the next cursor of a chunk")]
    Cursor(u64),
    /// It is not a file of output, or of a later version.
    #[error("not an output file of this version")]
    Format,
    /// The operating system failed.
    #[error("cannot read output")]
    Read(#[source] io::Error),
}

/// Reads whole records from `cursor` on, at least one if there is one, and more while they fit in
/// `max_bytes`. A file that is not there yet has no output. Blocks.
///
/// # Errors
/// If the cursor is no record's beginning, or the file cannot be read.
pub fn read(path: &Path, cursor: u64, max_bytes: usize) -> Result<Vec<Chunk>, Error> {
    let Some(reader) = Reader::open(path)? else {
        return if cursor == 0 {
            Ok(Vec::new())
        } else {
            Err(Error::Cursor(cursor))
        };
    };
    let mut at = cursor.max(FILE_HEADER);
    if cursor != 0 && cursor < FILE_HEADER {
        return Err(Error::Cursor(cursor));
    }
    let (mut chunks, mut size) = (Vec::new(), 0);
    while let Some(chunk) = reader.record(at)? {
        size += chunk.data.len();
        if !chunks.is_empty() && size > max_bytes {
            break;
        }
        at = chunk.next;
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// Waits until there may be something to read at `cursor`. May be dropped at any time.
pub async fn more(path: &Path, cursor: u64) {
    let mut tick = tokio::time::interval(POLL);
    loop {
        tick.tick().await;
        let length = tokio::fs::metadata(path).await.map_or(0, |file| file.len());
        if length > cursor.max(FILE_HEADER) {
            return;
        }
    }
}

/// A file whose header has been read.
struct Reader {
    file: File,
    tag: u64,
    length: u64,
}

impl Reader {
    /// `None` if there is no file, or not yet its header.
    fn open(path: &Path) -> Result<Option<Self>, Error> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::Read)?,
        };
        Self::of(file)
    }

    fn of(file: File) -> Result<Option<Self>, Error> {
        let length = file.metadata().map_err(Error::Read)?.len();
        if length < FILE_HEADER {
            return Ok(None);
        }
        let mut header = [0; 16];
        file.read_exact_at(&mut header, 0).map_err(Error::Read)?;
        let (magic, tag) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Error::Format);
        }
        let tag = u64::from_le_bytes(tag.try_into().map_err(|_| Error::Format)?);
        Ok(Some(Self { file, tag, length }))
    }

    /// The record that begins at `offset`; `None` if it is not, or not wholly, there.
    fn record(&self, offset: u64) -> Result<Option<Chunk>, Error> {
        if offset > self.length {
            return Err(Error::Cursor(offset));
        }
        let begin = offset + RECORD_HEADER as u64;
        if begin > self.length {
            return Ok(None);
        }
        let mut header = [0; RECORD_HEADER];
        self.file
            .read_exact_at(&mut header, offset)
            .map_err(Error::Read)?;
        let header = Header::decode(&header, self.tag, offset).ok_or(Error::Cursor(offset))?;
        let next = begin + u64::from(header.length);
        if next > self.length {
            return Ok(None);
        }
        let mut data = vec![0; header.length as usize];
        self.file
            .read_exact_at(&mut data, begin)
            .map_err(Error::Read)?;
        let mut dropped = 0;
        if header.kind.is_dropped() {
            dropped = u64::from_le_bytes(data.try_into().map_err(|_| Error::Cursor(offset))?);
            data = Vec::new();
        }
        let at = Timestamp::from_millisecond(header.millis).unwrap_or_default();
        Ok(Some(Chunk {
            at,
            stream: header.kind.stream(),
            data: data.into(),
            next,
            dropped,
        }))
    }

    /// Where the next record belongs: the end of the last whole one.
    fn end(&self) -> Result<u64, Error> {
        let mut at = FILE_HEADER;
        while let Some(chunk) = self.record(at)? {
            at = chunk.next;
        }
        Ok(at)
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data(Stream),
    /// The number of bytes that were dropped.
    Dropped(Stream),
}

impl Kind {
    const ALL: [(u8, Self); 4] = [
        (1, Self::Data(Stream::Stdout)),
        (2, Self::Data(Stream::Stderr)),
        (3, Self::Dropped(Stream::Stdout)),
        (4, Self::Dropped(Stream::Stderr)),
    ];

    fn stream(self) -> Stream {
        match self {
            Self::Data(stream) | Self::Dropped(stream) => stream,
        }
    }

    fn is_dropped(self) -> bool {
        matches!(self, Self::Dropped(_))
    }
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    millis: i64,
    length: u32,
    kind: Kind,
}

impl Header {
    fn encode(self, tag: u64, offset: u64) -> [u8; RECORD_HEADER] {
        let kind = Kind::ALL.iter().find(|(_, kind)| *kind == self.kind);
        let mut bytes = [0; RECORD_HEADER];
        bytes[..8].copy_from_slice(&(tag ^ offset).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.millis.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20] = kind.map_or(0, |(byte, _)| *byte);
        bytes
    }

    fn decode(bytes: &[u8; RECORD_HEADER], tag: u64, offset: u64) -> Option<Self> {
        let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let (_, kind) = *Kind::ALL.iter().find(|(byte, _)| *byte == bytes[20])?;
        let header = Self {
            millis: word(8)?.cast_signed(),
            length: u32::from_le_bytes(bytes[16..20].try_into().ok()?),
            kind,
        };
        let fits = header.length as usize <= RECORD_MAX;
        (word(0)? == tag ^ offset && fits).then_some(header)
    }
}

#[cfg(test)]
mod tests;
