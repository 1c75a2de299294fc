//! What a server shows its clients and asks of them, compiled once for many handshakes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use crate::runtime::hash::HashMap;

use super::certificate::{Pair, authorities};
use super::provider;

/// What a connection was promised and has proven: a request for a host with other terms does not belong on it.
#[derive(PartialEq, Eq, Debug)]
pub struct Terms {
    /// The listener that it was made for.
    pub listener: String,
    /// The files of the certificates that it might have been shown.
    pub certificates: Vec<PathBuf>,
    /// Which clients are known.
    pub client: Option<ClientTerms>,
    /// Whether no older version than TLS 1.3 is spoken.
    pub only_13: bool,
}

/// Which clients are known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientTerms {
    /// The certificates of the authorities that vouch for them (PEM).
    pub ca: Vec<u8>,
    /// Whether one without a certificate is refused.
    pub required: bool,
}

impl ClientTerms {
    /// Of the authorities of a PEM file.
    ///
    /// # Errors
    /// In words: there is none, or one cannot be read.
    pub fn read(ca: Vec<u8>, required: bool) -> Result<ClientTerms, String> {
        authorities(&ca)?;
        Ok(ClientTerms { ca, required })
    }
}

/// What makes and reads session tickets. Its keys change by themselves: a ticket is good for between six and twelve
/// hours. Listeners do not share one, nor do clients of different authorities: a ticket stands in for a certificate.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// With new keys.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Tickets, String> {
        Ticketer::new().map(Tickets).map_err(|error| error.to_string())
    }
}

/// How a server goes on with its clients.
pub struct Serving<'a> {
    /// The certificates; the first one is shown where no other fits.
    pub pairs: &'a [Arc<Pair>],
    /// Whether TLS 1.3 alone is spoken.
    pub only_13: bool,
    /// Which clients are known; they are not asked where this is nothing.
    pub client: Option<&'a ClientTerms>,
    /// The tickets by which they come back.
    pub tickets: &'a Tickets,
}

impl Serving<'_> {
    /// As the engine takes it.
    ///
    /// # Errors
    /// In words: what is wrong with the authorities of the clients.
    pub fn compile(&self) -> Result<Arc<ServerConfig>, String> {
        let versions: &[_] =
            if self.only_13 { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?;
        let builder = match self.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let roots = Arc::new(authorities(&client.ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if client.required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(self.pairs)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&self.tickets.0);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

/// The certificate by the name that the client asks for: whole names before those with a star, which stands for one
/// label (RFC 9525 section 6.3).
#[derive(Debug)]
struct ByName {
    certified: Vec<Arc<CertifiedKey>>,
    /// Where those of a name are, in the order of the configuration; a star stands as it is written.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    fn new(pairs: &[Arc<Pair>]) -> ByName {
        let mut names: HashMap<String, Vec<usize>> = HashMap::default();
        for (at, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                names.entry(name.clone()).or_default().push(at);
            }
        }
        ByName { certified: pairs.iter().map(|pair| Arc::clone(&pair.certified)).collect(), names }
    }

    fn named(&self, name: &str) -> Option<&[usize]> {
        let name = name.to_ascii_lowercase();
        let below = || self.names.get(&format!("*.{}", name.split_once('.')?.1));
        self.names.get(&name).or_else(below).map(Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named(name)).unwrap_or(&[0]);
        // A name may have an RSA certificate for old clients and one that is cheaper to use.
        let fits = |at: &&usize| self.certified[**at].key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = named.iter().find(fits).or(named.first())?;
        self.certified.get(*chosen).cloned()
    }
}
