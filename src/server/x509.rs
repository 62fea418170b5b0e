//! What a certificate says of itself, read from its DER form (RFC 5280, 4.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional version of a certificate.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of names in `subjectAltName`.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const AUTHORITY_INFO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
/// `id-ad-caIssuers` as an element: where the certificate of the issuer can be downloaded.
const CA_ISSUERS: &[u8] = &[OBJECT_ID, 8, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];

/// What a certificate says of itself. Nothing in it is verified here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The first name that it is for, else its common name; empty when it has neither.
    pub name: String,
    /// From when it is valid, in Unix milliseconds.
    pub from_ms: i64,
    /// Until when it is valid, in Unix milliseconds.
    pub until_ms: i64,
    /// Where its issuer's certificate can be downloaded is in it: the issuer is no root that clients know.
    pub(super) has_issuer_address: bool,
    issuer: Vec<u8>,
    subject: Vec<u8>,
}

impl CertificateFacts {
    /// Reads a certificate; `None` when it is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut fields, _) = element(certificate, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            (_, _, fields) = first(fields)?;
        }
        let (_, _, fields) = first(fields)?; // serial number
        let (_, _, fields) = first(fields)?; // algorithm of the signature
        let (issuer, fields) = element(fields, SEQUENCE)?;
        let (validity, fields) = element(fields, SEQUENCE)?;
        let (subject, fields) = element(fields, SEQUENCE)?;
        let (from_ms, rest) = time(validity)?;
        let (until_ms, _) = time(rest)?;
        let extensions = Elements(fields).find(|(tag, _)| *tag == EXTENSIONS);
        let extensions = extensions.and_then(|(_, content)| element(content, SEQUENCE));
        let extensions = extensions.map_or(&[][..], |(content, _)| content);
        let name = extension(extensions, SUBJECT_ALT_NAME).and_then(alternative_name);
        Some(Self {
            name: name.or_else(|| common_name(subject)).unwrap_or_default(),
            from_ms,
            until_ms,
            has_issuer_address: extension(extensions, AUTHORITY_INFO)
                .is_some_and(|content| content.windows(CA_ISSUERS.len()).any(|part| part == CA_ISSUERS)),
            issuer: issuer.to_vec(),
            subject: subject.to_vec(),
        })
    }

    /// Whether this certificate is of the authority that signed the other one, going by their names.
    pub(super) fn may_have_issued(&self, other: &Self) -> bool {
        self.subject == other.issuer
    }
}

/// The elements that follow each other in these bytes.
struct Elements<'b>(&'b [u8]);

impl<'b> Iterator for Elements<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, content, rest) = first(self.0)?;
        self.0 = rest;
        Some((tag, content))
    }
}

/// The tag and the content of the first element, and what follows it.
fn first(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // The number of bytes that hold the length.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The content of the first element, which has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = first(bytes)?;
    (found == tag).then_some((content, rest))
}

/// The value of the extension with this id.
fn extension<'b>(extensions: &'b [u8], id: &[u8]) -> Option<&'b [u8]> {
    let (_, extension) = Elements(extensions)
        .find(|(_, extension)| element(extension, OBJECT_ID).is_some_and(|(found, _)| found == id))?;
    Elements(extension).find_map(|(tag, content)| (tag == OCTET_STRING).then_some(content))
}

/// The first host name or address of a `subjectAltName`.
fn alternative_name(value: &[u8]) -> Option<String> {
    let (names, _) = element(value, SEQUENCE)?;
    Elements(names).find_map(|(tag, content)| match tag {
        DNS_NAME => Some(String::from_utf8_lossy(content).into_owned()),
        IP_ADDRESS => <[u8; 4]>::try_from(content)
            .map(|octets| Ipv4Addr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(content).map(|octets| Ipv6Addr::from(octets).to_string()))
            .ok(),
        _ => None,
    })
}

fn common_name(subject: &[u8]) -> Option<String> {
    let attributes = Elements(subject).flat_map(|(_, set)| Elements(set));
    attributes.into_iter().find_map(|(_, attribute)| {
        let (id, rest) = element(attribute, OBJECT_ID)?;
        let (_, value, _) = first(rest)?;
        (id == COMMON_NAME).then(|| String::from_utf8_lossy(value).into_owned())
    })
}

/// A time in Unix milliseconds, and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = first(bytes)?;
    let text = str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits of a year between 1950 and 2049.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some((time.timestamp().as_millisecond(), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn issued(year: i32, names: &[&str], common_name: Option<&str>) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Harbour");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.not_before = date_time_ymd(1960, 1, 1);
        params.not_after = date_time_ymd(year, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn times_are_read_in_both_forms() {
        // 2030 is written with two digits, 2060 with four.
        for (year, until_ms) in [(2030, 1_898_812_800_000), (2060, 2_845_584_000_000)] {
            let facts = CertificateFacts::of(&issued(year, &["registry.lan"], None)).unwrap();
            assert_eq!((facts.from_ms, facts.until_ms), (-315_619_200_000, until_ms));
        }
    }

    #[test]
    fn the_name_is_what_clients_ask_for_before_the_common_name() {
        for (names, common_name, wanted) in [
            (&["registry.lan", "10.0.0.7"][..], Some("Registry"), "registry.lan"),
            (&["10.0.0.7"], None, "10.0.0.7"),
            (&["2001:db8::7"], Some("x"), "2001:db8::7"),
            (&[], Some("Harbour CA"), "Harbour CA"),
            (&[], None, ""),
        ] {
            let facts = CertificateFacts::of(&issued(2030, names, common_name)).unwrap();
            assert_eq!(facts.name, wanted);
            assert!(facts.may_have_issued(&facts) && !facts.has_issuer_address);
        }
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        let whole = issued(2030, &["registry.lan"], Some("x"));
        for length in 0..whole.len() {
            // Nothing is read beyond the bytes that are there.
            assert_eq!(CertificateFacts::of(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = CertificateFacts::of(&broken);
        }
        assert_eq!(CertificateFacts::of(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
