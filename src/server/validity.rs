//! Until when a certificate is valid, read from its DER form.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The optional version of an X.509 certificate.
const VERSION: u8 = 0xa0;

/// The end of the validity (`notAfter` of RFC 5280, 4.1.2.5) in Unix milliseconds.
pub(super) fn end_ms(certificate: &[u8]) -> Option<u64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = skip(fields)?;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        fields = skip(fields)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    time(skip(validity)?)
}

/// The content of an element with this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
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
    rest.split_at_checked(length)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    Some(element(bytes, *bytes.first()?)?.1)
}

fn time(bytes: &[u8]) -> Option<u64> {
    let tag = *bytes.first()?;
    let (content, _) = element(bytes, tag)?;
    let text = str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits of a year between 1950 and 2049.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(time.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["registry.lan".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_a_time() {
        // 2030 is written with two digits, 2060 with four.
        assert_eq!(end_ms(&issued(2030)), Some(1_898_812_800_000));
        assert_eq!(end_ms(&issued(2060)), Some(2_845_584_000_000));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = issued(2030);
        for length in 0..whole.len().min(200) {
            // Nothing is read beyond the bytes that are there.
            assert_eq!(end_ms(&whole[..length]), None);
        }
        assert_eq!(end_ms(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
