//! TLS towards services: whom they have to be certified by, and what the gateway shows of itself.
//!
//! A [`ClientTls`] is what one upstream is spoken to with; a [`Secure`] is that for one of its endpoints, which has to
//! prove its name. Sessions are resumed within one upstream and never across two.

use std::cell::OnceCell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::{self, Pair, authorities};
use super::failure::{explained, system_roots_failure};
use super::provider;
use crate::net::Stream;

/// How an upstream is spoken to over TLS.
#[derive(Clone, Copy, Default)]
pub struct ClientSettings<'a> {
    /// The certificates (PEM) of those who may certify the service; the system's own list where there are none.
    pub ca: Option<&'a [u8]>,
    /// The gateway's own certificate with its chain, and the key (PEM).
    pub identity: Option<(&'a [u8], &'a [u8])>,
    /// The host that services have to prove to be, in place of that of their URL: a name, or an address without brackets.
    pub server_name: Option<&'a str>,
    /// Whether nothing is verified. Who is on the path can then read and change everything.
    pub unverified: bool,
}

/// The certificates that the system trusts: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or of its own store. They are read
/// when they are asked for first, and then shared: there are more than a hundred of them.
#[derive(Default)]
pub struct SystemRoots(OnceCell<Result<Arc<RootCertStore>, String>>);

impl SystemRoots {
    /// Those that can be read; else, in words, why there are none.
    fn get(&self) -> Result<Arc<RootCertStore>, String> {
        let read = || {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            // Stores hold some that no verifier can read, and need not hold any that matters here.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                Err(system_roots_failure(found.errors.first()))
            } else {
                Ok(Arc::new(roots))
            }
        };
        self.0.get_or_init(read).clone()
    }
}

/// Which setting cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The certificates of those who certify.
    Ca,
    /// The gateway's own certificate.
    Certificate,
    /// Its key.
    Key,
    /// The name.
    ServerName,
    /// The list of the system, where none is written.
    System,
}

/// A setting that cannot be used, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusable {
    /// Which.
    pub part: Part,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

/// The protocol that is spoken inside (ALPN, RFC 7301).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Either, HTTP/2 rather.
    Any,
}

/// How the services of one upstream are spoken to over TLS. Each is equal to itself alone: what was agreed on with one
/// is of no use to another.
pub struct ClientTls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl PartialEq for ClientTls {
    fn eq(&self, other: &ClientTls) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for ClientTls {}

impl Hash for ClientTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).hash(state);
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the settings. May read the system's list of certificates from disk, where nobody has yet.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn new(settings: ClientSettings<'_>, system: &SystemRoots) -> Result<ClientTls, Vec<Unusable>> {
        let mut wrong = Vec::new();
        let mut note = |part, what: String, help| wrong.push(Unusable { part, what, help });
        let provider = provider();
        let name = settings.server_name.and_then(|name| {
            let read = server_name(name);
            if read.is_none() {
                let what = "no certificate can be made for this name".to_owned();
                note(Part::ServerName, what, "write the host that the certificate is for");
            }
            read
        });
        let verifier =
            verifier(settings, system, &provider).map_err(|(part, what, help)| note(part, what, help));
        let identity = settings.identity.map(|(certificate, key)| Pair::read(certificate, key)).transpose();
        let identity = identity.map_err(|bad| {
            let part = match bad.part {
                certificate::Part::Certificate => Part::Certificate,
                certificate::Part::Key => Part::Key,
            };
            note(part, bad.what, bad.help);
        });
        let (Ok(verifier), Ok(identity), true) = (verifier, identity, wrong.is_empty()) else {
            return Err(wrong);
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| vec![Unusable { part: Part::System, what: error.to_string(), help: "" }])?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified))),
        };
        let speaking = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(ClientTls {
            http1: speaking(&[b"http/1.1"]),
            http2: speaking(&[b"h2"]),
            any: speaking(&[b"h2", b"http/1.1"]),
            name,
        })
    }

    /// The same for an endpoint whose URL names this host, without brackets.
    pub fn to(self: &Arc<ClientTls>, host: &str) -> Secure {
        let name = self.name.clone().or_else(|| server_name(host));
        Secure { tls: Arc::clone(self), name }
    }

    /// Whether an endpoint whose URL names this host can prove to be what it has to be.
    pub fn can_verify(&self, host: &str) -> bool {
        self.name.is_some() || server_name(host).is_some()
    }
}

/// How one endpoint is spoken to over TLS, and what it has to prove to be.
#[derive(Clone, Debug)]
pub struct Secure {
    tls: Arc<ClientTls>,
    /// None where no certificate can be made for the host: then nothing is sent there.
    name: Option<ServerName<'static>>,
}

impl Secure {
    /// Makes a connection one with TLS. It has no deadline of its own.
    ///
    /// # Errors
    /// The handshake came to nothing; why stands in the error in words for the operator.
    pub async fn over(&self, stream: Stream, protocol: Protocol) -> io::Result<Stream> {
        let config = match protocol {
            Protocol::Http1 => &self.tls.http1,
            Protocol::Http2 => &self.tls.http2,
            Protocol::Any => &self.tls.any,
        };
        let Some(name) = &self.name else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "TLS: no certificate can be made for its host",
            ));
        };
        let connecting = stream.connect_tls(Arc::clone(config), name.clone());
        connecting.await.map_err(|error| explained(error, name))
    }
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// What judges the certificates of a service; else what is wrong, and what to do about it.
fn verifier(
    settings: ClientSettings<'_>,
    system: &SystemRoots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, (Part, String, &'static str)> {
    if settings.unverified {
        return Ok(Arc::new(Unverified(Arc::clone(provider))));
    }
    let roots = match settings.ca {
        Some(pem) => authorities(pem).map(Arc::new).map_err(|what| {
            (Part::Ca, what, "write the file of the CA that signs the services' certificates")
        })?,
        None => system.get().map_err(|why| {
            let help = "name the CA in `tls.ca`, or install the CAs of the system (`ca-certificates`)";
            (Part::System, format!("nobody is trusted to certify this service: {why}"), help)
        })?,
    };
    let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    match built {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err((Part::Ca, error.to_string(), "write another file")),
    }
}

/// Takes every certificate. That the service has its key is still verified.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
