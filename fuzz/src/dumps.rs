//! Dumps of the metadata. There are two forms of input:
//!
//! * `frames` in the first line: each following line is one frame in hexadecimal, and the dump gets the right
//!   magic word, lengths and checksum;
//! * anything else is the file itself.
//!
//! Beside the dump is a segment with one valid record.

use std::fs;
use std::path::Path;

use stowage::model::{Algorithm, Digest};
use stowage::store::meta::{SCHEMA, dump};

use super::gate::scratch;
use super::text::{assert_message, first_line};

const MAGIC: &[u8] = b"STWDUMP\n";
const FORMAT: u32 = 1;
/// The bytes of the checksum and of the length of the last frame.
const TRAILER: usize = 36;
/// The body of the record in the segment.
const BODY: &[u8] = b"{}";

/// A file is accepted only if every byte of it is as it was written, and only then the bodies are read to
/// which it refers.
pub fn check(input: &[u8]) {
    let directory = scratch();
    let path = directory.path().join("rows-00000001.dump");
    let file = match first_line(input) {
        (b"frames", frames) => framed(frames),
        _ => input.to_vec(),
    };
    fs::write(directory.path().join("bodies-00000001.seg"), segment()).expect("room in memory");
    fs::write(&path, &file).expect("room in memory");
    let whole = dump::check(&path);
    match dump::inspect(&path) {
        Err(error) => {
            assert_message(&error);
            assert!(whole.is_err(), "{error}");
        }
        Ok((header, totals)) => {
            assert!(is_well_formed(&file));
            assert_eq!((header.format, header.schema), (FORMAT, SCHEMA));
            assert_eq!(dump::newest(directory.path()), Some(header.wall_ms));
            assert_eq!(dump::list(directory.path()).expect("a list").len(), 1);
            match whole {
                Ok(said) => assert_eq!(said, (header, totals)),
                Err(error) => assert_message(&error),
            }
            assert_changes_are_noticed(&path, &file);
        }
    }
}

/// The file with these frames.
fn framed(lines: &[u8]) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    let mut last = [0; 4];
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let digits: Vec<u32> = line.iter().filter_map(|digit| char::from(*digit).to_digit(16)).collect();
        let frame: Vec<u8> =
            digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
        last = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
        file.extend(last);
        file.extend(frame);
    }
    let hash = blake3::hash(&file);
    file.extend(hash.as_bytes());
    file.extend(last);
    file
}

/// A segment whose one record is the body of an empty object.
fn segment() -> Vec<u8> {
    let key = Digest::of(Algorithm::Sha256, BODY).key();
    let mut record = vec![2, 0, 0, 0, 33];
    record.extend(&key[..]);
    record.extend(BODY);
    let hash = blake3::hash(&record);
    record.extend(hash.as_bytes());
    record
}

/// Whether a file consists of a magic word, frames, the hash of all that, and the length of the last frame.
fn is_well_formed(file: &[u8]) -> bool {
    let Some(length) = file.len().checked_sub(TRAILER) else { return false };
    let (content, trailer) = file.split_at(length);
    let Some(mut frames) = content.strip_prefix(MAGIC) else { return false };
    let mut last = &[][..];
    while let Some((size, rest)) = frames.split_first_chunk::<4>() {
        let Some((_, rest)) = rest.split_at_checked(u32::from_le_bytes(*size) as usize) else { return false };
        last = size;
        frames = rest;
    }
    frames.is_empty() && trailer == [blake3::hash(content).as_bytes(), last].concat()
}

/// Asserts that a flipped bit, a truncation and an addition are each detected.
fn assert_changes_are_noticed(path: &Path, file: &[u8]) {
    let hash = blake3::hash(file);
    let [at, bit, ..] = hash.as_bytes();
    let place = file.len() * usize::from(*at) / 256;
    let mut flipped = file.to_vec();
    flipped[place] ^= 1 << (bit % 8);
    for changed in [flipped, file[..place].to_vec(), [file, &[0][..]].concat()] {
        fs::write(path, changed).expect("room in memory");
        assert!(dump::inspect(path).is_err() && dump::check(path).is_err(), "unnoticed at {place}");
    }
}
