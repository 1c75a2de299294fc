//! Certificates made for a test by `openssl`, and clients that speak TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};

use super::gateway::Folder;
use super::{Client, PATIENCE};

/// An authority (`ca.pem`, `ca.key`) in a folder of its own, and what it issues.
pub(crate) struct Pki(Folder);

/// A client that speaks TLS.
pub(crate) type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self(Folder::new());
        pki.authority("ca");
        pki
    }

    /// Another authority of that name.
    pub(crate) fn authority(&self, name: &str) {
        let config = "[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = critical, CA:TRUE\n";
        std::fs::write(self.path("ca.cnf"), config).unwrap();
        let arguments = format!("req -x509 -nodes -config ca.cnf -extensions ca -days 9 -subj /CN={name}");
        let files = format!("-keyout {name}.key -out {name}.pem");
        self.openssl(&[&words(&arguments)[..], P256, &words(&files)].concat());
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Its folder, as a configuration names it.
    pub(crate) fn dir(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Issues `NAME.pem` and `NAME.key` for these alternative names (`DNS:a.test,DNS:*.b.test`).
    pub(crate) fn issue(&self, name: &str, alternatives: &str) {
        self.issue_as(name, alternatives, "ca", "9", P256);
    }

    /// The same by another authority, for other days, with another key.
    pub(crate) fn issue_as(&self, name: &str, alternatives: &str, by: &str, days: &str, key: &[&str]) {
        let request = format!("req -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr");
        self.openssl(&[&words(&request)[..], key].concat());
        let extensions = format!("basicConstraints = critical, CA:FALSE\nsubjectAltName = {alternatives}\n");
        std::fs::write(self.path("leaf.cnf"), extensions).unwrap();
        let sign = format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile leaf.cnf -out {name}.pem"
        );
        self.openssl(&words(&sign));
    }

    #[track_caller]
    pub(crate) fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A certificate in DER.
    pub(crate) fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()
    }

    /// What a client needs that trusts `ca.pem`, with a certificate of its own where one is named.
    pub(crate) fn trusting(&self, own: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der("ca")).unwrap();
        let builder = builder(rustls::ALL_VERSIONS).with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{own}.key"))).unwrap();
                builder.with_client_auth_cert(vec![self.der(own)], key).unwrap()
            }
        }
    }

    /// A client that asks for `name`, with its handshake made.
    #[track_caller]
    pub(crate) fn client(&self, address: SocketAddr, name: &str) -> TlsClient {
        connect(address, name, &Arc::new(self.trusting(None))).unwrap()
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

/// What a client needs that takes any certificate.
pub(crate) fn taking_any(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    builder(versions).dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth()
}

/// Connects and makes the handshake. For an IP address as its name a client asks for none.
pub(crate) fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsClient> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    while session.is_handshaking() || session.wants_write() {
        session.complete_io(&mut socket)?;
    }
    Ok(Client::over(StreamOwned::new(session, socket)))
}

#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
