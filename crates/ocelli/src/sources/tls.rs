//! TLS with cameras: whose certificate is believed, and why one is not, in words.
//!
//! Cameras sign their own certificates, which nobody can check: one that is known by its fingerprint is the only proof there is.
//! So the fingerprint of a certificate that is not believed is said, for who has another way to see that it is the camera's.
//! TLS 1.2 and 1.3 are spoken. What is older, and certificates of X.509 version 1, are refused, the latter but where none is
//! checked.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{SourceUrl, SpecError};

/// The parameters of a source that is reached by TLS.
pub(super) const PARAMETERS: [&str; 2] = ["tls", "fingerprint"];

/// Whose certificate is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// One for the camera's name, signed by somebody that this system trusts.
    #[default]
    System,
    /// The one with this SHA-256.
    Certificate(Fingerprint),
    /// Any: what is sent can be read by who stands between.
    Any,
}

/// The SHA-256 of a certificate as it is sent (DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }

    /// `sha256:` and 64 hexadecimal digits, with colons between or without, as `openssl x509 -fingerprint -sha256` writes them.
    fn parse(text: &str) -> Option<Self> {
        let (name, digits) = text.split_once(':')?;
        let is_sha256 = name.eq_ignore_ascii_case("sha256");
        let digits: Vec<u8> = digits
            .chars()
            .filter(|letter| *letter != ':')
            .map(|letter| letter.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        (is_sha256 && digits.len() == 64).then(|| bytes.try_into().ok().map(Self))?
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Trust {
    /// As the parameters of a source say it, which only one that is reached by TLS may have.
    pub(super) fn of(url: &SourceUrl) -> Result<Self, SpecError> {
        match (url.text("tls"), url.text("fingerprint")) {
            (None, None) => Ok(Self::System),
            (Some("insecure"), None) => Ok(Self::Any),
            (None, Some(text)) => Fingerprint::parse(text).map(Self::Certificate).ok_or_else(|| {
                SpecError::new(format!("fingerprint={text}: expected sha256: and 64 hexadecimal digits"))
            }),
            (Some(_), Some(_)) => Err(SpecError::new(
                "tls=insecure believes any certificate, fingerprint= one: state one of them",
            )),
            (Some(other), None) => Err(SpecError::new(format!(
                "tls={other}: expected insecure, or fingerprint=sha256:… instead"
            ))),
        }
    }
}

/// Shakes hands with the server that is called `host`.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    trust: Trust,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host} is no name that a certificate can be for"))?;
    let provider = Arc::new(ring::default_provider());
    let system = match trust {
        Trust::System => Some(system_verifier(provider.clone()).await?),
        Trust::Certificate(_) | Trust::Any => None,
    };
    let verifier = Arc::new(Verifier { trust, system, provider: provider.clone(), shown: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be spoken: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connecting.map_err(|error| in_words(host, &error, verifier.shown()))
}

/// Who believes those that the system trusts. The system is asked once.
async fn system_verifier(provider: Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = match ROOTS.get() {
        Some(roots) => roots.clone(),
        None => {
            let load = || {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Arc::new(roots)
            };
            let roots = tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())?;
            ROOTS.get_or_init(|| roots).clone()
        }
    };
    let none = "this system has no certificates of those that it trusts (package ca-certificates); pin the camera's own \
                with #fingerprint=sha256:…";
    WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|_| none.to_owned())
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// Where it is the system that is asked.
    system: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<Fingerprint>>,
}

impl Verifier {
    /// What the server has shown last.
    fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the handshake is signed by whose certificate it is, by the rules of a version of TLS; who is anybody need not be.
    fn verify(
        &self,
        rules: Rules,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.trust == Trust::Any {
            return Ok(HandshakeSignatureValid::assertion());
        }
        rules(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
}

/// How a version of TLS has signatures looked at.
type Rules = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error>;

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(certificate);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match (self.trust, &self.system) {
            (Trust::System, Some(system)) => {
                system.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            (Trust::Any, _) => Ok(ServerCertVerified::assertion()),
            (Trust::Certificate(pinned), _) if pinned == shown => Ok(ServerCertVerified::assertion()),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(verify_tls12_signature, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(verify_tls13_signature, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn in_words(host: &str, error: &io::Error, shown: Option<Fingerprint>) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return format!("the connection to {host} broke off while TLS began");
    };
    let hint = shown.map_or_else(String::new, |shown| {
        format!("; if you know that it is the camera's, add #fingerprint={shown} to its address")
    });
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            let shown = shown.map(|shown| format!(": {shown}")).unwrap_or_default();
            format!("the camera shows another certificate than the one that is pinned{shown}")
        }
        rustls::Error::InvalidCertificate(error) => {
            let why = match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "is not valid yet, or this computer's clock is wrong"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "is for another name than the address has"
                }
                CertificateError::Revoked => "has been revoked",
                _ => "is signed by nobody that this system trusts",
            };
            format!("the camera's certificate {why}{hint}")
        }
        rustls::Error::InvalidMessage(_) => {
            "what answers at that port speaks no TLS: the address may have to begin with rtsp://".to_owned()
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_) => {
            format!("the camera and Ocelli have no way of TLS in common: {error}")
        }
        error => format!("TLS with the camera failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn trust(parameters: &str) -> Result<Trust, String> {
        let url = SourceUrl::parse(&format!("rtsps://h/x#{parameters}")).unwrap();
        Trust::of(&url).map_err(|error| error.to_string())
    }

    #[test]
    fn trust_is_the_systems_or_stated() {
        let mut digits = String::new();
        (0..32).for_each(|byte| write!(digits, "{byte:02X}:").unwrap());
        let written = digits.trim_end_matches(':');
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8));
        assert_eq!(trust(""), Ok(Trust::System));
        assert_eq!(trust("tls=insecure"), Ok(Trust::Any));
        for text in [written.to_owned(), written.replace(':', "").to_lowercase()] {
            let pinned = trust(&format!("fingerprint=sha256:{text}"));
            assert_eq!(pinned, Ok(Trust::Certificate(fingerprint)), "{text}");
        }
        assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
    }

    #[test]
    fn what_is_no_trust_is_refused() {
        assert_eq!(trust("tls=1").unwrap_err(), "tls=1: expected insecure, or fingerprint=sha256:… instead");
        for text in ["", "sha256:", "sha1:00", "sha256:0g", &format!("sha256:{}", "0".repeat(63)), "é"] {
            let refused = trust(&format!("fingerprint={text}")).unwrap_err();
            assert!(refused.ends_with("expected sha256: and 64 hexadecimal digits"), "{refused}");
        }
        assert!(trust(&format!("tls=insecure&fingerprint=sha256:{}", "0".repeat(64))).is_err());
    }
}
