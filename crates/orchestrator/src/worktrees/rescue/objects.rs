//! Copies objects out of the agent's repository. Each is inflated within bounds and hashed again;
//! one whose content does not give its name is left behind.

use super::{packs, quota::Quota};
use crate::worktrees::{
    Error, git_failed,
    handle::Folder,
    results::{Notes, Results},
    system_failed,
};
use flate2::read::ZlibDecoder;
use git2::{ObjectType, Odb, OdbLookupFlags, Oid};
use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
};

/// Largest object that is held in memory. Larger ones pass through in pieces.
pub(super) const IN_MEMORY: u64 = 16 << 20;

/// Longest header of an object: a kind, a length of 20 digits, and a zero.
const HEADER_MAX: usize = 32;

/// Copies every object that the results do not have, and lists every commit among all of them.
pub(super) fn import(
    repository: &Folder,
    results: &Results,
    quota: &mut Quota,
    notes: &mut Notes,
) -> Result<Vec<Oid>, Error> {
    let Ok(objects) = repository.folder(b"objects") else {
        return Ok(Vec::new());
    };
    let odb = results.git().odb();
    let odb = odb.map_err(git_failed("open the results' objects"))?;
    let mut found = packs::import(&objects, results, &odb, quota, notes)?;
    for first in 0..=u8::MAX {
        let prefix = format!("{first:02x}");
        let Ok(folder) = objects.folder(prefix.as_bytes()) else {
            continue;
        };
        let names = folder.names(quota.files_left());
        let names = names.map_err(system_failed("list the agent's objects"))?;
        let names = names.ok_or_else(|| quota.too_many())?;
        quota.files(names.len() as u64)?;
        for name in names {
            let Some(id) = id(&prefix, &name) else {
                continue;
            };
            let there = odb.exists_ext(id, OdbLookupFlags::NO_REFRESH);
            if there || import_loose(&folder, &name, id, &odb, quota)? {
                found.push(id);
            } else {
                notes.skipped_files += 1;
            }
        }
    }
    let commit = |id: &Oid| {
        odb.read_header(*id)
            .is_ok_and(|(_, kind)| kind == ObjectType::Commit)
    };
    found.retain(commit);
    Ok(found)
}

fn id(prefix: &str, name: &[u8]) -> Option<Oid> {
    let name = std::str::from_utf8(name).ok()?;
    (name.len() == 38).then(|| Oid::from_str(&format!("{prefix}{name}")).ok())?
}

/// Copies one loose object; `false` if it is not what its name says.
fn import_loose(
    folder: &Folder,
    name: &[u8],
    id: Oid,
    odb: &Odb<'_>,
    quota: &mut Quota,
) -> Result<bool, Error> {
    let Ok((file, _)) = folder.file(name) else {
        return Ok(false);
    };
    let mut content = BufReader::new(ZlibDecoder::new(file));
    let Some((kind, size)) = header(&mut content) else {
        return Ok(false);
    };
    if size > IN_MEMORY {
        quota.bytes(size)?;
        let copied = stream(odb, kind, size, &mut content);
        return Ok(copied.is_ok_and(|written| written == id));
    }
    let mut data = Vec::new();
    let read = content.take(size + 1).read_to_end(&mut data);
    let honest = read.is_ok() && data.len() as u64 == size;
    if !honest || !Oid::hash_object(kind, &data).is_ok_and(|hash| hash == id) {
        return Ok(false);
    }
    quota.bytes(size)?;
    let written = odb.write(kind, &data);
    written.map_err(git_failed("write an object to the results"))?;
    Ok(true)
}

/// Reads `kind length\0`.
fn header(content: &mut BufReader<ZlibDecoder<File>>) -> Option<(ObjectType, u64)> {
    let mut text = Vec::new();
    for byte in content.by_ref().bytes().take(HEADER_MAX) {
        match byte.ok()? {
            0 => {
                let text = String::from_utf8(text).ok()?;
                let (kind, size) = text.split_once(' ')?;
                let kind = match kind {
                    "blob" => ObjectType::Blob,
                    "tree" => ObjectType::Tree,
                    "commit" => ObjectType::Commit,
                    "tag" => ObjectType::Tag,
                    _ => return None,
                };
                return Some((kind, size.parse().ok()?));
            }
            byte => text.push(byte),
        }
    }
    None
}

/// Writes an object of exactly `size` bytes, in pieces, and returns its real name.
pub(super) fn stream(
    odb: &Odb<'_>,
    kind: ObjectType,
    size: u64,
    content: &mut impl Read,
) -> io::Result<Oid> {
    let length = usize::try_from(size).map_err(io::Error::other)?;
    let mut writer = odb.writer(length, kind).map_err(io::Error::other)?;
    let mut piece = vec![0; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let wanted = left.min(piece.len());
        let got = content.read(&mut piece[..wanted])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        writer.write_all(&piece[..got])?;
        left -= got;
    }
    writer.finalize().map_err(io::Error::other)
}
