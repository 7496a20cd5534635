//! Copies packs out of the agent's repository. A pack is measured before libgit2 sees it: a few
//! bytes of deltas can claim terabytes. Then it is indexed anew, which hashes every object in it.

use super::quota::Quota;
use crate::worktrees::{
    Error, git_failed,
    handle::Folder,
    results::{Notes, Results},
    system_failed,
};
use flate2::bufread::ZlibDecoder;
use git2::{Indexer, Odb, Oid};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    path::Path,
};

/// Longest run of the two numbers that begin a delta: how long its base is and its result.
const SIZES_MAX: u64 = 20;

/// Where the table of object names begins in an index of version 2: header, then 256 counts.
const NAMES_AT: usize = 8 + 256 * 4;

/// Copies every pack and lists the objects in them. One that is damaged is left behind.
pub(super) fn import(
    objects: &Folder,
    results: &Results,
    odb: &Odb<'_>,
    quota: &mut Quota,
    notes: &mut Notes,
) -> Result<Vec<Oid>, Error> {
    let mut found = Vec::new();
    let Ok(folder) = objects.folder(b"pack") else {
        return Ok(found);
    };
    let names = folder.names(quota.files_left());
    let names = names.map_err(system_failed("list the agent's packs"))?;
    let into = results.git().path().join("objects/pack");
    fs::create_dir_all(&into).map_err(system_failed("make the results' folder of packs"))?;
    for name in names.ok_or_else(|| quota.too_many())? {
        if !name.ends_with(b".pack") {
            continue;
        }
        let Ok((mut file, size)) = folder.file(&name) else {
            notes.skipped_files += 1;
            continue;
        };
        let Some(left) = measure(&mut BufReader::new(&mut file), size, quota)? else {
            notes.skipped_files += 1;
            continue;
        };
        *quota = left;
        file.rewind().map_err(system_failed("read a pack again"))?;
        match index(file, odb, &into) {
            Ok(ids) => found.extend(ids),
            Err(error) => {
                tracing::warn!(%error, "a pack an agent left is damaged");
                notes.skipped_files += 1;
            }
        }
    }
    if !found.is_empty() {
        let seen = odb.refresh();
        seen.map_err(git_failed("look for the new packs"))?;
    }
    Ok(found)
}

/// Indexes a pack into the folder and returns the names of its objects.
fn index(mut pack: File, odb: &Odb<'_>, into: &Path) -> io::Result<Vec<Oid>> {
    let mut indexer = Indexer::new(Some(odb), into, 0o400, false).map_err(io::Error::other)?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        let got = pack.read(&mut piece)?;
        if got == 0 {
            break;
        }
        indexer.write_all(&piece[..got])?;
    }
    let name = indexer.commit().map_err(io::Error::other)?;
    let index = fs::read(into.join(format!("pack-{name}.idx")))?;
    let short = || io::Error::other("the index is too short");
    let (_, count) = index
        .get(..NAMES_AT)
        .and_then(|table| table.split_last_chunk::<4>())
        .ok_or_else(short)?;
    let count = u32::from_be_bytes(*count) as usize;
    let names = index
        .get(NAMES_AT..NAMES_AT + count * 20)
        .ok_or_else(short)?;
    let (names, _) = names.as_chunks::<20>();
    let ids = names.iter().map(|name| Oid::from_bytes(name));
    ids.collect::<Result<_, _>>().map_err(io::Error::other)
}

/// What is left of the quota once the pack is inflated; `None` if it is not a whole pack.
fn measure(pack: &mut impl BufRead, size: u64, quota: &Quota) -> Result<Option<Quota>, Error> {
    let mut left = quota.clone();
    left.bytes(size)?;
    let mut start = [0; 12];
    if pack.read_exact(&mut start).is_err() || !start.starts_with(b"PACK\0\0\0\x02") {
        return Ok(None);
    }
    let count = u32::from_be_bytes([start[8], start[9], start[10], start[11]]);
    for _ in 0..count {
        let Ok(size) = measure_object(pack, &left) else {
            return Ok(None);
        };
        left.files(1)?;
        left.bytes(size)?;
    }
    Ok(Some(left))
}

/// The bytes that one object holds when it is inflated and its delta applied.
fn measure_object(pack: &mut impl BufRead, quota: &Quota) -> io::Result<u64> {
    let first = byte(pack)?;
    let mut size = u64::from(first & 0x0f);
    if first & 0x80 != 0 {
        size |= number(pack)?.checked_shl(4).unwrap_or(u64::MAX);
    }
    let delta = match first >> 4 & 7 {
        1..=4 => false,
        6 => {
            while byte(pack)? & 0x80 != 0 {}
            true
        }
        7 => {
            pack.read_exact(&mut [0; 20])?;
            true
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let mut content = ZlibDecoder::new(&mut *pack);
    let mut start = Vec::new();
    (&mut content).take(SIZES_MAX).read_to_end(&mut start)?;
    let most = size.saturating_add(1);
    let rest = if quota.fits(size) {
        io::copy(&mut content.by_ref().take(most), &mut io::sink())?
    } else {
        0
    };
    if !delta {
        return Ok(size.max(rest));
    }
    let mut sizes = start.as_slice();
    let _base = number(&mut sizes)?;
    Ok(size.saturating_add(number(&mut sizes)?))
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A number in groups of seven bits, the lowest first.
fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let group = byte(from)?;
        value |= u64::from(group & 0x7f) << shift;
        if group & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}
