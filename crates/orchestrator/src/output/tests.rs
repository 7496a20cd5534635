//! What holds of a file of output.

use super::*;
use std::io::Write;

fn written(max: u64, pieces: &[(Stream, &[u8])]) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let mut writer = Writer::open(&path, max).unwrap();
    for (stream, data) in pieces {
        writer.append(*stream, data).unwrap();
    }
    writer.close().unwrap();
    (folder, path)
}

#[test]
fn bytes_come_back_in_order_and_from_any_cursor() {
    let binary: Vec<u8> = (0..=255).collect();
    let long = vec![b'x'; RECORD_MAX + 1];
    let pieces = [
        (Stream::Stdout, binary.as_slice()),
        (Stream::Stderr, b"oops".as_slice()),
        (Stream::Stdout, long.as_slice()),
    ];
    let (_folder, path) = written(1 << 20, &pieces);
    let all = read(&path, 0, usize::MAX).unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(
        (all[0].stream, &all[0].data[..]),
        (Stream::Stdout, &binary[..])
    );
    assert_eq!(
        (all[1].stream, &all[1].data[..]),
        (Stream::Stderr, &b"oops"[..])
    );
    let mut cursor = 0;
    for expected in &all {
        let one = read(&path, cursor, 1).unwrap();
        assert_eq!(one, std::slice::from_ref(expected));
        cursor = expected.next;
    }
    assert_eq!(read(&path, cursor, 1).unwrap(), []);
}

#[test]
fn a_cursor_that_is_no_boundary_is_an_error() {
    let forged = Header {
        millis: 0,
        length: 1,
        kind: Kind::Data(Stream::Stdout),
    }
    .encode(0, FILE_HEADER + RECORD_HEADER as u64);
    let (_folder, path) = written(
        1 << 20,
        &[(Stream::Stdout, &forged), (Stream::Stdout, b"x")],
    );
    let all = read(&path, 0, usize::MAX).unwrap();
    for cursor in (1..all[0].next).filter(|cursor| *cursor != FILE_HEADER) {
        assert!(
            matches!(read(&path, cursor, 1), Err(Error::Cursor(_))),
            "{cursor}"
        );
    }
    assert!(matches!(read(&path, u64::MAX, 1), Err(Error::Cursor(_))));
    assert!(matches!(
        read(&path.join("none"), 7, 1),
        Err(Error::Read(_) | Error::Cursor(7))
    ));
}

#[test]
fn a_torn_end_is_not_there_yet_and_the_next_writer_cuts_it_off() {
    let (_folder, path) = written(
        1 << 20,
        &[(Stream::Stdout, b"one"), (Stream::Stdout, b"two")],
    );
    let whole = std::fs::read(&path).unwrap();
    for kept in FILE_HEADER as usize..whole.len() {
        std::fs::write(&path, &whole[..kept]).unwrap();
        let seen = read(&path, 0, usize::MAX).unwrap().len();
        assert_eq!(
            seen,
            usize::from(kept >= FILE_HEADER as usize + RECORD_HEADER + 3),
            "{kept}"
        );
    }
    let mut writer = Writer::open(&path, 1 << 20).unwrap();
    writer.append(Stream::Stderr, b"three").unwrap();
    writer.close().unwrap();
    let data: Vec<_> = read(&path, 0, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|c| c.data)
        .collect();
    assert_eq!(data, [&b"one"[..], b"three"]);
}

#[test]
fn what_is_above_the_limit_is_counted_and_the_file_stays_small() {
    let line = [b'x'; 100];
    let pieces = vec![(Stream::Stdout, line.as_slice()); 50];
    let (_folder, path) = written(1_000, &pieces);
    let chunks = read(&path, 0, usize::MAX).unwrap();
    let kept: u64 = chunks.iter().map(|chunk| chunk.data.len() as u64).sum();
    let dropped: u64 = chunks.iter().map(|chunk| chunk.dropped).sum();
    assert_eq!(kept + dropped, 5_000);
    assert!(std::fs::metadata(&path).unwrap().len() < 1_100);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"#!/bin/sh\necho hello\n").unwrap();
    assert!(matches!(read(file.path(), 0, 1), Err(Error::Format)));
}

#[tokio::test]
async fn more_waits_for_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let mut writer = Writer::open(&path, 100).unwrap();
    let waiting = {
        let path = path.clone();
        tokio::spawn(async move { more(&path, 0).await })
    };
    writer.append(Stream::Stdout, b"late").unwrap();
    waiting.await.unwrap();
    assert_eq!(read(&path, 0, 1).unwrap()[0].data, "late");
}
