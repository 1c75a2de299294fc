//! Trusted proxies as written: which networks they are in, and which of their header fields are believed.

use super::cidr::Cidr;
use super::diagnostic::Diagnostic;
use super::field::Field;
use super::section::{Schema, Section};
use super::shape;
use super::text::quoted;

/// A header field by which a trusted proxy reports where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TrustedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`: the addresses on the way.
    ForwardedFor,
    /// `X-Forwarded-Proto`: the schemes on the way.
    ForwardedProto,
    /// `X-Forwarded-Host`: the hosts that were asked for on the way.
    ForwardedHost,
    /// `X-Forwarded-Port`: the ports that were asked on the way.
    ForwardedPort,
    /// `X-Forwarded-Prefix`: the path that proxies in front have stripped.
    ForwardedPrefix,
    /// `X-Real-IP`: the address of the client.
    RealIp,
}

/// The fields that are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedHeaders(u8);

impl TrustedHeaders {
    /// Whether the field is one of them.
    pub const fn has(self, header: TrustedHeader) -> bool {
        self.0 & (1 << header as u8) != 0
    }
}

impl FromIterator<TrustedHeader> for TrustedHeaders {
    fn from_iter<I: IntoIterator<Item = TrustedHeader>>(headers: I) -> Self {
        TrustedHeaders(headers.into_iter().fold(0, |all, header| all | (1 << header as u8)))
    }
}

impl Default for TrustedHeaders {
    /// The four that proxies set as a rule. The others a proxy that does not know them passes on from its client.
    fn default() -> Self {
        use TrustedHeader::{ForwardedFor, ForwardedHost, ForwardedPort, ForwardedProto};
        [ForwardedFor, ForwardedProto, ForwardedHost, ForwardedPort].into_iter().collect()
    }
}

const NAMES: &[(&str, TrustedHeader)] = &[
    ("forwarded", TrustedHeader::Forwarded),
    ("x-forwarded-for", TrustedHeader::ForwardedFor),
    ("x-forwarded-proto", TrustedHeader::ForwardedProto),
    ("x-forwarded-host", TrustedHeader::ForwardedHost),
    ("x-forwarded-port", TrustedHeader::ForwardedPort),
    ("x-forwarded-prefix", TrustedHeader::ForwardedPrefix),
    ("x-real-ip", TrustedHeader::RealIp),
];

/// What `trusted_headers` means, for tables of keys.
pub(super) const HEADERS: &str =
    "Header fields of trusted proxies that are believed (default x-forwarded-for, -proto, -host and -port)";

/// The schema of `trusted_headers`.
pub(super) fn headers_schema() -> Schema {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    shape::list(shape::choice(&names))
}

/// Reads `trusted_proxies` and `trusted_headers` of a section. `misplaced` says that the first stands at a wrong place,
/// which is reported there: its absence here is then no finding of its own.
pub(super) fn read(section: &Section<'_>, misplaced: bool) -> (Vec<Cidr>, TrustedHeaders) {
    let proxies = section.read("trusted_proxies", Vec::new(), networks);
    let believed = section.read("trusted_headers", TrustedHeaders::default(), headers);
    let trusts = misplaced || section.has("trusted_proxies");
    if let Some(idle) = section.get("trusted_headers").filter(|_| !trusts) {
        let what =
            format!("{} does nothing without {}", quoted("trusted_headers"), quoted("trusted_proxies"));
        idle.out().add(Diagnostic::error(idle.label(), what).help("name the networks of your proxies"));
    }
    (proxies, believed)
}

/// Trusting everybody is trusting nobody in particular: an error.
fn networks(field: Field<'_>) -> Option<Vec<Cidr>> {
    field.list_of(|item| {
        let network = item.cidr()?;
        if network.is_everything() {
            item.error("this trusts every client to say who it is", "name the networks of your proxies");
            return None;
        }
        Some(network)
    })
}

fn headers(field: Field<'_>) -> Option<TrustedHeaders> {
    if !field.is_list() && !field.node().is_null() {
        let names: Vec<String> = NAMES.iter().map(|(name, _)| quoted(name)).collect();
        let what = format!("{} must be a list, not {}", quoted(field.name()), field.node().described());
        field.error(what, format!("write a list of any of {}; `[]` believes none of them", names.join(", ")));
        return None;
    }
    let mut seen = Vec::new();
    let list = field.list_of(|item| {
        // A wrong guess could offer a field that a client can set: all names are listed.
        let header = item.choice_unguessed(NAMES)?;
        if seen.contains(&header) {
            item.error("this name stands twice", "write it once");
            return None;
        }
        seen.push(header);
        Some(header)
    })?;
    Some(list.into_iter().collect())
}
