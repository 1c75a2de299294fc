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
        Pki::called("ca")
    }

    /// One whose certificates say that it is called so.
    pub(crate) fn called(name: &str) -> Self {
        let pki = Self(Folder::new());
        pki.make_authority("ca", name);
        pki
    }

    /// Another authority of that name.
    pub(crate) fn authority(&self, name: &str) {
        self.make_authority(name, name);
    }

    fn make_authority(&self, file: &str, name: &str) {
        self.req(file, name, &["-x509", "-days", "9"], "basicConstraints = critical, CA:TRUE", P256);
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// What one of its files holds.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Its folder, as a configuration names it.
    pub(crate) fn dir(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Issues `NAME.pem` and `NAME.key` for these alternative names (`DNS:a.test,DNS:*.b.test`); for none of them where
    /// they are empty.
    pub(crate) fn issue(&self, name: &str, alternatives: &str) {
        self.issue_as(name, alternatives, "ca", "9", P256);
    }

    /// One that holds no longer.
    pub(crate) fn expired(&self, name: &str, alternatives: &str) {
        self.issue_as(name, alternatives, "ca", "-1", P256);
    }

    /// The same by another authority, for other days, with another key.
    pub(crate) fn issue_as(&self, name: &str, alternatives: &str, by: &str, days: &str, key: &[&str]) {
        self.req(name, name, &[], "", key);
        std::fs::write(self.path("leaf.cnf"), leaf(alternatives)).unwrap();
        let sign = format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile leaf.cnf -out {name}.pem"
        );
        self.openssl(&words(&sign));
    }

    /// What `openssl req -x509` makes where nothing else is said: a CA's certificate, for these hosts.
    pub(crate) fn self_signed(&self, name: &str, hosts: &str) {
        let extensions = format!("basicConstraints = critical, CA:TRUE\nsubjectAltName = {hosts}");
        self.req(name, name, &["-x509", "-days", "9"], &extensions, P256);
    }

    /// The same as the certificate of a server.
    pub(crate) fn self_signed_leaf(&self, name: &str, hosts: &str) {
        self.req(name, name, &["-x509", "-days", "9"], &leaf(hosts), P256);
    }

    /// The key of that name, encrypted, as `NAME.key`.
    pub(crate) fn encrypted_key(&self, name: &str, of: &str) {
        let convert = format!("pkcs8 -topk8 -in {of}.key -out {name}.key -passout pass:secret");
        self.openssl(&words(&convert));
    }

    /// A new key `FILE.key`, and a certificate (`-x509`) or a request for one in the name of `subject`.
    fn req(&self, file: &str, subject: &str, kind: &[&str], extensions: &str, key: &[&str]) {
        let config = format!("[req]\ndistinguished_name = name\n[name]\n[extensions]\n{extensions}\n");
        std::fs::write(self.path("req.cnf"), config).unwrap();
        let out = if kind.contains(&"-x509") { "pem" } else { "csr" };
        let request =
            format!("req -nodes -config req.cnf -subj /CN={subject} -keyout {file}.key -out {file}.{out}");
        let extensions: &[&str] = if extensions.is_empty() { &[] } else { &["-extensions", "extensions"] };
        self.openssl(&[&words(&request)[..], kind, extensions, key].concat());
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

/// The extensions of a server's certificate.
fn leaf(alternatives: &str) -> String {
    let names =
        if alternatives.is_empty() { String::new() } else { format!("subjectAltName = {alternatives}\n") };
    format!("basicConstraints = critical, CA:FALSE\n{names}")
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
