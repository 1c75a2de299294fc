//! TLS towards a service as written.

use std::path::PathBuf;

use crate::config::diagnostic::Diagnostic;
use crate::config::field::Field;
use crate::config::pem::{self, PemFile};
use crate::config::section::{Key, Schema, Section};
use crate::config::shape;
use crate::config::span::Spanned;
use crate::config::url::{Host, authority_parts};

use super::endpoints::Endpoints;

/// How TLS is spoken to a service. Files are read when the configuration is; equal where they say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    /// The certificates of those who may certify the service (PEM); the system's own list where there are none.
    pub ca: Option<PemFile>,
    /// The gateway's own certificate with its chain, and the key (PEM).
    pub identity: Option<(PemFile, PemFile)>,
    /// The host that the service has to prove to be, in place of that of its URL.
    pub server_name: Option<Spanned<Host>>,
    /// Whether its certificate is verified at all.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, identity: None, server_name: None, verify: true }
    }
}

impl UpstreamTls {
    /// The files that were read for it.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pair = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(pair).map(|file| &file.path.value)
    }
}

const TLS: &[Key] = &[
    Key::optional("ca", shape::path, "Whose certificates are trusted (PEM; default: as the system does)"),
    Key::optional("certificate", shape::path, "The gateway's own certificate, with its chain (PEM)"),
    Key::optional("key", shape::path, "The key of `certificate` (PEM)"),
    Key::optional(
        "server_name",
        shape::text,
        "The host that its certificate has to be for (default: that of the URL)",
    ),
    Key::optional("verify", shape::boolean, "Whether its certificate is verified (default true)"),
];

pub(super) fn schema() -> Schema {
    shape::object(TLS)
}

/// Reads `tls`, which belongs to `https://` URLs and to endpoints that are discovered; none where TLS is not spoken.
pub(super) fn read(section: &Section<'_>, endpoints: &Endpoints) -> Option<Option<UpstreamTls>> {
    let first = endpoints.urls().next();
    let Some(field) = section.get("tls") else {
        return Some(first.is_some_and(|url| url.tls).then(UpstreamTls::default));
    };
    if first.is_some_and(|url| !url.tls) {
        let what = "`tls` is written, but the URL is `http://`: nothing would be encrypted";
        section.out().add(Diagnostic::error(field.label(), what).help("write `https://`, or remove `tls`"));
        return None;
    }
    let tls = tls(field)?;
    if first.is_none() && tls.server_name.is_none() && tls.verify {
        let what = "the endpoints are discovered, so no URL says which host their certificates are for";
        section.out().add(Diagnostic::error(field.label(), what).help("add `server_name`"));
        return None;
    }
    Some(Some(tls))
}

fn tls(field: Field<'_>) -> Option<UpstreamTls> {
    let section = Section::open(field, TLS)?;
    let [ca, certificate, key] = ["ca", "certificate", "key"].map(|key| section.get(key).map(pem::file));
    let server_name = section.get("server_name").map(host);
    let verify = section.read("verify", true, |field| field.boolean());
    if let [Some(alone), None] | [None, Some(alone)] = ["certificate", "key"].map(|key| section.get(key)) {
        let what = "`certificate` and `key` belong together";
        section.out().add(Diagnostic::error(alone.label(), what).help("write both, or none"));
        return None;
    }
    if let (Some(field), false) = (section.get("verify"), verify) {
        if let Some(ca) = section.get("ca") {
            let what = "`ca` is written, but `verify: false`: nothing would be verified by it";
            section.out().add(Diagnostic::error(ca.label(), what).help("remove one of them"));
            return None;
        }
        let what = "the certificate of this service is not verified: anybody on the path can read and change everything";
        section.out().add(
            Diagnostic::warning(field.label(), what)
                .help("name the CA that signed it in `ca` in place of this"),
        );
    }
    // A file that cannot be read has been reported.
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate?, key?)),
        _ => None,
    };
    Some(UpstreamTls {
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
        identity,
        server_name: server_name.map_or(Some(None), |name| name.map(Some))?,
        verify,
    })
}

/// A name or an address, without a port.
fn host(field: Field<'_>) -> Option<Spanned<Host>> {
    let text = field.filled()?;
    let text = text.as_str();
    let read = match text.parse() {
        Ok(address) => Some(Host::Ip(address)),
        Err(_) => authority_parts(text).filter(|(_, port)| port.is_none()).map(|(host, _)| host),
    };
    if read.is_none() {
        field.error(
            "not a host",
            "write a name such as `users.internal`, or an address, without scheme and port",
        );
    }
    Some(Spanned::new(read?, field.span()))
}
