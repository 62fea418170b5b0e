//! Warnings about a certificate that can be used: about its dates, and about the chain that is sent with it.
//!
//! Such a certificate is not refused: the clock may be wrong, and a server that does not start helps no
//! client.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::x509::CertificateFacts;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// The server warns about a certificate that expires within this time.
const SOON_MS: i64 = 21 * DAY_MS;
/// It does not warn before the last part of the certificate's life, here the last quarter, because
/// short-lived certificates are renewed late.
const LAST_PART: i64 = 4;
/// More certificates than any authority needs. OpenSSL refuses chains of more than 100 KiB.
const LONG_CHAIN: usize = 10;
/// How often unchanged warnings are repeated.
const REPEAT_AFTER: Duration = Duration::from_hours(24);

/// A sentence for each warning about the chain in `file`; empty if there is none.
pub(super) fn of(file: &Path, chain: &[CertificateDer<'_>], now: Timestamp) -> Vec<String> {
    let file = file.display();
    let facts: Vec<CertificateFacts> = chain.iter().filter_map(|der| CertificateFacts::of(der)).collect();
    let mut found: Vec<String> = Vec::new();
    for (index, certificate) in facts.iter().enumerate() {
        let which = if index == 0 { "certificate" } else { "intermediate certificate" };
        if let Some(what) = dates(certificate, now.as_millisecond()) {
            found.push(format!("the {which} {} in {file} {what}", shown(certificate)));
        }
    }
    if chain.len() > LONG_CHAIN {
        found.push(format!(
            "{file} holds {} certificates, and clients refuse long chains: keep the server's own and the intermediate ones \
             that lead to the root",
            chain.len()
        ));
    }
    if let Some([below, above]) = facts.array_windows().find(|[below, above]| !above.may_have_issued(below)) {
        found.push(format!(
            "{file} is in the wrong order: {} did not issue {}, which stands before it; clients may refuse the chain: put \
             the server's own certificate first, then each issuer after the certificate that it issued",
            shown(above),
            shown(below)
        ));
    } else if let [own] = facts.as_slice()
        && own.has_issuer_address
        && !own.may_have_issued(own)
    {
        found.push(format!(
            "{file} holds the certificate {} alone, without the intermediate certificate that issued it; clients may not \
             trust it: use the full chain (certbot: fullchain.pem)",
            shown(own)
        ));
    }
    found
}

fn shown(certificate: &CertificateFacts) -> &str {
    if certificate.name.is_empty() { "without a name" } else { &certificate.name }
}

/// A warning about the dates of a certificate.
fn dates(certificate: &CertificateFacts, now_ms: i64) -> Option<String> {
    let (from_ms, until_ms) = (certificate.from_ms, certificate.until_ms);
    let left_ms = until_ms - now_ms;
    if left_ms <= 0 {
        return Some(format!("expired on {}: renew it", date(until_ms)));
    }
    if now_ms < from_ms {
        return Some(format!(
            "is not valid before {}: check the clock of this computer, or wait with its use",
            date(from_ms)
        ));
    }
    if left_ms > SOON_MS.min((until_ms - from_ms) / LAST_PART) {
        return None;
    }
    let left = match left_ms / DAY_MS {
        0 => "in less than a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    };
    Some(format!("expires on {}, {left}: renew it", date(until_ms)))
}

fn date(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| "an unknown date".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Decides when to log warnings: when they change, and once a day.
#[derive(Default)]
pub(super) struct Reminder {
    last: Option<(Instant, Vec<String>)>,
}

impl Reminder {
    /// Whether to log these warnings now.
    pub(super) fn is_due(&mut self, warnings: &[String], now: Instant) -> bool {
        let due = match &self.last {
            Some((when, last)) => last != warnings || now.duration_since(*when) >= REPEAT_AFTER,
            None => true,
        };
        if due {
            self.last = Some((now, warnings.to_vec()));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    };

    use super::*;

    const FILE: &str = "/etc/stowage/tls.crt";

    fn said(chain: &[CertificateDer<'_>], now: &str) -> Vec<String> {
        of(Path::new(FILE), chain, now.parse().unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn issued(params: &CertificateParams, by: &CertifiedIssuer<'static, KeyPair>) -> CertificateDer<'static> {
        params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
    }

    #[test]
    fn dates_are_told_from_three_weeks_before_the_end() {
        let own = [issued(&params("registry.lan"), &authority("Harbour CA"))];
        for (now, what) in [
            ("2025-12-31T23:59:59Z", "is not valid before 2026-01-01 00:00 UTC: check the clock"),
            ("2026-12-12T12:00:00Z", "expires on 2027-01-01 00:00 UTC, in 19 days: renew it"),
            ("2026-12-30T12:00:00Z", "expires on 2027-01-01 00:00 UTC, in 1 day: renew it"),
            ("2026-12-31T12:00:00Z", "expires on 2027-01-01 00:00 UTC, in less than a day: renew it"),
            ("2027-01-01T00:00:00Z", "expired on 2027-01-01 00:00 UTC: renew it"),
        ] {
            let [said] = &said(&own, now)[..] else { panic!("{now}") };
            assert!(
                said.starts_with(&format!("the certificate registry.lan in {FILE} {what}")),
                "{now}: {said}"
            );
        }
        for well in ["2026-01-01T00:00:00Z", "2026-12-10T00:00:00Z"] {
            assert_eq!(said(&own, well), Vec::<String>::new());
        }
    }

    #[test]
    fn a_short_lived_certificate_is_told_in_the_last_quarter_of_its_life() {
        let mut params = params("registry.lan");
        params.not_after = rcgen::date_time_ymd(2026, 1, 9);
        let own = [issued(&params, &authority("Harbour CA"))];
        assert_eq!(said(&own, "2026-01-06T00:00:00Z"), Vec::<String>::new());
        assert_eq!(said(&own, "2026-01-07T00:00:01Z").len(), 1);
    }

    #[test]
    fn a_chain_is_long_unordered_or_short_of_its_intermediate() {
        const NOW: &str = "2026-06-01T00:00:00Z";
        let (root, other) = (authority("Harbour Root"), authority("Other Root"));
        let mut middle_params = params("Harbour CA");
        middle_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let middle = CertifiedIssuer::signed_by(middle_params, KeyPair::generate().unwrap(), &root).unwrap();
        let mut own_params = params("registry.lan");
        // The DER form of authorityInfoAccess with one caIssuers: http://h/
        let issuer_address = [
            &[0x30, 0x17, 0x30, 0x15, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02, 0x86, 0x09]
                [..],
            b"http://h/",
        ];
        own_params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], issuer_address.concat())];
        let own = issued(&own_params, &middle);
        let certificate = |issuer: &CertifiedIssuer<'static, KeyPair>| issuer.as_ref().der().clone();
        let (middle, root, other) = (certificate(&middle), certificate(&root), certificate(&other));

        let well = [own.clone(), middle.clone(), root.clone()];
        assert_eq!(said(&well, NOW), Vec::<String>::new());
        assert_eq!(said(&well[..2], NOW), Vec::<String>::new());
        assert_eq!(said(std::slice::from_ref(&other), NOW), Vec::<String>::new(), "signed by itself");

        let [alone] = &said(&well[..1], NOW)[..] else { panic!("one warning") };
        assert!(alone.contains("without the intermediate certificate that issued it"), "{alone}");
        let [unordered] = &said(&[own.clone(), root, middle], NOW)[..] else { panic!("one warning") };
        assert!(unordered.contains("wrong order: Harbour Root did not issue registry.lan"), "{unordered}");
        let long: Vec<_> = std::iter::once(own).chain(std::iter::repeat_n(other, LONG_CHAIN)).collect();
        assert!(said(&long, NOW).iter().any(|said| said.contains("holds 11 certificates")));
    }

    #[test]
    fn warnings_are_written_when_they_change_and_once_a_day() {
        let mut reminder = Reminder::default();
        let start = Instant::now();
        let warnings = ["expired".to_owned()];
        assert!(reminder.is_due(&warnings, start));
        assert!(!reminder.is_due(&warnings, start + REPEAT_AFTER / 2));
        assert!(reminder.is_due(&warnings, start + REPEAT_AFTER));
        assert!(!reminder.is_due(&warnings, start + REPEAT_AFTER));
        assert!(reminder.is_due(&[], start + REPEAT_AFTER));
        assert!(reminder.is_due(&warnings, start + REPEAT_AFTER), "it came back");
    }
}
