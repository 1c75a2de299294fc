//! TLS of a listener as written: files, and which clients are served. What the files hold is judged by the compiler.

use std::path::PathBuf;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::{Span, Spanned};

/// How a listener speaks TLS.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// Where it is written.
    pub at: Span,
    /// The certificates; the first one is shown where no other fits. At least one.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version.
    pub min: TlsVersion,
    /// Which clients are known, where they have to say who they are.
    pub client: Option<ClientCertificates>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, and behind it those between it and an authority that clients know (PEM).
    pub certificate: Spanned<PathBuf>,
    /// Its private key (PEM).
    pub key: Spanned<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is asked of clients.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// The authorities whose certificates are taken (PEM).
    pub ca: Spanned<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

impl ListenerTls {
    /// Every file that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.certificates.iter().flat_map(|files| [&files.certificate.value, &files.key.value]);
        pairs.chain(self.client.iter().map(|client| &client.ca.value))
    }
}

const TLS: &[Key] = &[
    Key::needed(
        "certificates",
        certificates_schema,
        "Certificates with their keys; the name that a client asks for chooses, and the first stands in for all others",
    ),
    Key::optional("min", || choice(VERSIONS), "The oldest version: `tls1.2` (default) or `tls1.3`"),
    Key::optional(
        "client_ca",
        shape::path,
        "Whose client certificates are taken (PEM); clients are asked for one",
    ),
    Key::optional(
        "client_auth",
        || choice(CLIENT_AUTH),
        "With `client_ca`: whether a client needs a certificate: `required` (default) or `optional`",
    ),
];

const CERTIFICATE: &[Key] = &[
    Key::needed("certificate", shape::path, "The certificate and those that vouch for it, in order (PEM)"),
    Key::needed("key", shape::path, "Its private key, not encrypted (PEM)"),
];

const VERSIONS: &[(&str, TlsVersion)] = &[("tls1.2", TlsVersion::Tls12), ("tls1.3", TlsVersion::Tls13)];

const CLIENT_AUTH: &[(&str, bool)] = &[("optional", false), ("required", true)];

fn choice<T>(words: &[(&str, T)]) -> Schema {
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    shape::choice(&words)
}

fn certificates_schema() -> Schema {
    shape::list(shape::object(CERTIFICATE))
}

/// The schema of `tls`.
pub(super) fn schema() -> Schema {
    shape::object(TLS)
}

/// Reads `tls` of a listener.
pub(super) fn read(field: Field<'_>) -> Option<ListenerTls> {
    let section = Section::open(field, TLS)?;
    let certificates = section.get("certificates").and_then(certificates);
    let min = section.read("min", TlsVersion::Tls12, |f| f.choice(VERSIONS, &[]));
    let ca = section.get("client_ca").map(file);
    let auth = section.get("client_auth").map(|f| (f, f.choice(CLIENT_AUTH, &[])));
    if let (None, Some((written, _))) = (&ca, &auth) {
        let what = "`client_auth` does nothing without `client_ca`";
        section
            .out()
            .add(Diagnostic::error(written.label(), what).help("name the authority of your clients"));
        return None;
    }
    let required = auth.map_or(Some(true), |(_, required)| required);
    let client = match ca {
        Some(ca) => Some(ClientCertificates { ca: ca?, required: required? }),
        None => None,
    };
    Some(ListenerTls { at: field.label(), certificates: certificates?, min, client })
}

fn certificates(field: Field<'_>) -> Option<Vec<CertificateFiles>> {
    let list = field.list_of(|item| {
        let section = Section::open(item, CERTIFICATE)?;
        let (certificate, key) = (section.get("certificate").map(file), section.get("key").map(file));
        Some(CertificateFiles { certificate: certificate??, key: key?? })
    })?;
    if list.is_empty() {
        field.error("`certificates` is empty", "write at least one `{ certificate: ..., key: ... }`");
        return None;
    }
    Some(list)
}

fn file(field: Field<'_>) -> Option<Spanned<PathBuf>> {
    field.path().map(|path| Spanned::new(path, field.span()))
}
