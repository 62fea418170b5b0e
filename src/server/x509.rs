//! The facts in a certificate (RFC 5280).

use std::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;
use x509_parser::parse_x509_certificate;

/// The facts in a certificate. They are not verified here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The first name in `subjectAltName`, else its common name; empty if it has neither.
    pub name: String,
    /// The start of its validity, in Unix milliseconds.
    pub from_ms: i64,
    /// The end of its validity, in Unix milliseconds.
    pub until_ms: i64,
    /// Whether it says where its issuer's certificate can be downloaded (`id-ad-caIssuers`): then the issuer
    /// is not a root that clients know.
    pub(super) has_issuer_address: bool,
    issuer: Vec<u8>,
    subject: Vec<u8>,
}

impl CertificateFacts {
    /// Parses a certificate in DER form; `None` if it is not one.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        let name = alternative_name(&certificate).or_else(|| common_name(&certificate));
        Some(Self {
            name: name.unwrap_or_default(),
            from_ms: validity.not_before.timestamp().saturating_mul(1000),
            until_ms: validity.not_after.timestamp().saturating_mul(1000),
            has_issuer_address: has_issuer_address(&certificate),
            issuer: certificate.issuer().as_raw().to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
        })
    }

    /// Whether this may be the certificate of the other one's issuer, by their names.
    pub(super) fn may_have_issued(&self, other: &Self) -> bool {
        self.subject == other.issuer
    }
}

/// The first DNS name or address of `subjectAltName`.
fn alternative_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(|octets| Ipv4Addr::from(octets).to_string())
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| Ipv6Addr::from(octets).to_string()))
            .ok(),
        _ => None,
    })
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().find_map(|name| Some(name.as_str().ok()?.to_owned()))
}

fn has_issuer_address(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => {
            access.iter().any(|entry| entry.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS)
        }
        _ => false,
    })
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
