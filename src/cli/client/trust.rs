//! The certificates that the client trusts: those that a CA in `--ca-file` has signed, and those that are in
//! that file themselves.
//!
//! `openssl req -x509` creates a certificate that is its own CA. TLS libraries refuse the certificate of a CA
//! as a server's (RFC 5280, 6.1), but a file with exactly this certificate says that it is meant. Its names
//! and dates are checked like those of any other certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::server::CertificateFacts;

/// Trust in the certificates of a file.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) named: Vec<CertificateDer<'static>>,
    pub(super) authorities: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.named.iter().any(|named| named == own) {
            return self.authorities.verify_server_cert(own, intermediates, name, ocsp, now);
        }
        check_dates(own, now)?;
        verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let facts = CertificateFacts::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    // Dates of certificates are in whole seconds.
    let (from_s, until_s) = (facts.from_ms.div_euclid(1000), facts.until_ms.div_euclid(1000));
    let time = |seconds: i64| {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    };
    if now_s > until_s {
        return Err(CertificateError::ExpiredContext { time: now, not_after: time(until_s) }.into());
    }
    if now_s < from_s {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: time(from_s) }.into());
    }
    Ok(())
}
