//! Reads dumps: verifies them, and finds the places of bodies.

use std::path::Path;

use super::bodies::Bodies;
use super::error::DumpError;
use super::frames::FrameReader;
use super::{BodyPosition, FORMAT, Frame, Header, Totals};
use crate::store::meta::format::SUPPORTED;
use crate::store::meta::schema;

/// The most characters of a version that are shown.
const VERSION: usize = 40;

/// The header of a dump. Only its format is checked.
pub(super) fn header(path: &Path) -> Result<Header, DumpError> {
    begin(&mut FrameReader::open(path)?)
}

/// The totals of a dump, without verifying the checksum.
pub(super) fn totals(path: &Path) -> Result<Totals, DumpError> {
    super::frames::totals(path)
}

/// Reads the first frame. Rows of an older format are read unchanged: a database that is restored from them
/// is migrated when it is opened.
pub(super) fn begin(reader: &mut FrameReader) -> Result<Header, DumpError> {
    let path = reader.path().to_owned();
    match reader.next()? {
        Frame::Header(header) if header.format == FORMAT && SUPPORTED.contains(&header.schema) => Ok(header),
        Frame::Header(Header { format, schema, written_by, .. }) => {
            // The version is not verified yet, so its text is escaped.
            let written_by: String = written_by.chars().take(VERSION).flat_map(char::escape_debug).collect();
            let found = format!("dump format {format} of format {schema} (written by Stowage {written_by})");
            Err(DumpError::UnknownFormat { path, found })
        }
        _ => Err(DumpError::damaged(&path, "it does not start with a header")),
    }
}

/// Reads and verifies a dump from beginning to end. The bodies in segments are not read.
pub fn inspect(path: &Path) -> Result<(Header, Totals), DumpError> {
    read(path, |_, _| Ok(()))
}

/// Reads a dump and every body that it refers to.
pub fn check(path: &Path) -> Result<(Header, Totals), DumpError> {
    // The places of bodies can only be trusted after the checksum was verified.
    let (header, totals) = inspect(path)?;
    let mut bodies = Bodies::new(path.parent().unwrap_or(path));
    read(path, |key, place| bodies.read(key, place).map(drop))?;
    Ok((header, totals))
}

fn read(
    path: &Path,
    mut body: impl FnMut(&[u8], BodyPosition) -> Result<(), DumpError>,
) -> Result<(Header, Totals), DumpError> {
    let mut reader = FrameReader::open(path)?;
    let header = begin(&mut reader)?;
    loop {
        match reader.next()? {
            Frame::Body { key, place } => body(key, place)?,
            Frame::Table(_) | Frame::Row { .. } => {}
            Frame::End(totals) => return Ok((header, totals)),
            Frame::Header(_) => return Err(DumpError::damaged(path, "it has two headers")),
        }
    }
}

/// The places of bodies in an earlier dump, looked up in the order of their keys.
pub(super) struct EarlierBodies {
    reader: FrameReader,
    next: Option<(Vec<u8>, BodyPosition)>,
}

impl EarlierBodies {
    /// The places of bodies in a dump that was inspected.
    pub(super) fn open(path: &Path) -> Result<Self, DumpError> {
        let mut reader = FrameReader::open(path)?;
        begin(&mut reader)?;
        let mut known = Self { reader, next: None };
        known.advance()?;
        Ok(known)
    }

    fn advance(&mut self) -> Result<(), DumpError> {
        self.next = loop {
            match self.reader.next()? {
                Frame::Body { key, place } => break Some((key.to_vec(), place)),
                Frame::Table(name) if name != schema::MANIFEST_BODY.name() => break None,
                Frame::End(_) => break None,
                _ => {}
            }
        };
        Ok(())
    }

    /// The place of the body of `key`. Each call must ask for a higher key than the one before.
    pub(super) fn find(&mut self, key: &[u8]) -> Result<Option<BodyPosition>, DumpError> {
        while let Some((found, place)) = &self.next {
            if found.as_slice() >= key {
                return Ok((found == key).then_some(*place));
            }
            self.advance()?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::meta::SCHEMA;
    use crate::store::meta::dump::frames::FrameWriter;

    #[test]
    fn the_refusal_of_another_format_can_be_shown_on_a_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows-00000001.dump");
        let header = Header {
            format: FORMAT + 1,
            schema: SCHEMA,
            store_id: Uuid::nil(),
            number: 1,
            sequence: 1,
            wall_ms: 1,
            written_by: format!("\u{1b}[31m{}", "9".repeat(100_000)),
        };
        let mut file = FrameWriter::create(&path).unwrap();
        file.frame(&Frame::Header(header)).unwrap();
        file.finish().unwrap();
        let DumpError::UnknownFormat { found, .. } = inspect(&path).unwrap_err() else {
            panic!("another error")
        };
        assert!(
            found.contains("9999") && found.len() < 200 && !found.chars().any(char::is_control),
            "{found}"
        );
    }
}
