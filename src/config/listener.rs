//! Listeners as written: where clients come in, and what the edge bounds.

use std::net::SocketAddr;
use std::time::Duration;

use super::cidr::Cidr;
use super::field::Field;
use super::names::{Name, named};
use super::path_rules::{self, PathRules};
use super::policies::{Policies, Vocabulary};
use super::route::{self, Route};
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::Spanned;
use super::tls::{self, ListenerTls};
use super::trusted::{self, TrustedHeaders};
use super::url::HostPattern;

/// A place where clients come in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name; `default` for the short form.
    pub name: Name,
    /// The address.
    pub listen: Spanned<SocketAddr>,
    /// The hosts it answers for; empty means all.
    pub hosts: Vec<Spanned<HostPattern>>,
    /// How it speaks TLS, if it does.
    pub tls: Option<ListenerTls>,
    /// Peers whose word about the client is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// The header fields of theirs that are believed.
    pub trusted_headers: TrustedHeaders,
    /// Its bounds.
    pub limits: Limits,
    /// How paths are read.
    pub path: PathRules,
    /// Which clients get interim answers of services.
    pub interim: InterimAnswers,
    /// Its policies.
    pub policies: Policies,
    /// Its own routes, which win over those of the file.
    pub routes: Vec<Route>,
}

/// Which clients get interim answers (1xx) of services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterimAnswers {
    /// None.
    None,
    /// Those of HTTP/2: clients of HTTP/1.1 may take one for the final answer (RFC 8297 section 3).
    #[default]
    Http2,
    /// Those of HTTP/1.1 too.
    All,
}

const INTERIM: &[(&str, InterimAnswers)] =
    &[("none", InterimAnswers::None), ("http2", InterimAnswers::Http2), ("all", InterimAnswers::All)];

/// The bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head (431).
    pub head: u64,
    /// Headers of a request (431).
    pub headers: u64,
    /// Bytes of a request target (414).
    pub target: u64,
    /// Bytes of a request body (413).
    pub body: u64,
    /// For a head, from connecting or its first byte (408).
    pub head_timeout: Duration,
    /// The longest gap in a request body (408).
    pub body_timeout: Duration,
    /// The least bytes a second of a request body, taken over `body_timeout` (408).
    pub body_rate: u64,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// How long an answer is still made for a client that has ended its own side of an HTTP/1 connection.
    pub half_closed: Duration,
    /// How long what a refused client still sends is read, so that it can read why.
    pub linger: Duration,
    /// How many bytes of it are read.
    pub linger_bytes: u64,
    /// Streams of an HTTP/2 connection at a time.
    pub streams: u64,
    /// Open connections of one client address; none is no bound.
    pub connections_per_client: Option<u32>,
    /// For a TLS handshake, from accepting the connection.
    pub handshake_timeout: Duration,
    /// TLS handshakes of the process under way, beyond which new connections are closed.
    pub handshakes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            headers: 100,
            target: 8 << 10,
            body: 10 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            body_rate: 100,
            idle: Duration::from_secs(75),
            half_closed: Duration::from_millis(250),
            linger: Duration::from_secs(30),
            linger_bytes: 32 << 20,
            streams: 128,
            connections_per_client: None,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 4096,
        }
    }
}

const LISTENER: &[Key] = &[
    Key::needed("listen", shape::socket_address, "The address: IP and port"),
    Key::optional(
        "hosts",
        shape::texts,
        "The hosts it answers for (default: all); listeners on one address are told apart by it",
    ),
    Key::optional("trusted_proxies", shape::texts, "Networks whose word about the client is believed"),
    Key::optional("trusted_headers", trusted::headers_schema, trusted::HEADERS),
    Key::optional("limits", limits_schema, "The bounds of requests and connections"),
    Key::optional("path", path_rules::schema, "How paths are read"),
    Key::optional(
        "interim",
        || shape::choice(&["none", "http2", "all"]),
        "Which clients get interim answers of services, such as 103: `none`, `http2` (default) or `all`",
    ),
    Key::optional("policies", || shape::defined("policies"), "Policies of this listener"),
    Key::optional(
        "routes",
        || shape::defined("routes"),
        "Routes of this listener, which win over the file's",
    ),
    Key::optional("tls", tls::schema, "Certificates: the listener speaks TLS with them, and nothing else"),
    Key::later("proxy_protocol"),
    Key::later("expose"),
];

const LIMITS: &[Key] = &[
    Key::optional("head", shape::size, "Size of a request head (default 16KiB, 64B to 1GiB)"),
    Key::optional("headers", shape::integer, "Number of headers (default 100, 1 to 10000)"),
    Key::optional("target", shape::size, "Size of a request target (default 8KiB, at most 1GiB)"),
    Key::optional("body", shape::size, "Size of a request body (default 10MiB)"),
    Key::optional("head_timeout", shape::duration, "Time for a head (default 10s)"),
    Key::optional("body_timeout", shape::duration, "Longest gap in a request body (default 10s)"),
    Key::optional("body_rate", shape::size, "Least size a second of a request body (default 100B)"),
    Key::optional(
        "idle",
        shape::duration,
        "How long an idle connection is kept, and an answer that its client does not read (default 75s)",
    ),
    Key::optional(
        "half_closed",
        shape::duration,
        "How long a request goes on after its HTTP/1 client has closed its sending side (default 250ms); `0s` is not at all",
    ),
    Key::optional(
        "linger",
        shape::duration,
        "How long a body that was refused is still read, so that its client can read why (default 30s); `0s` is not at all",
    ),
    Key::optional(
        "linger_bytes",
        shape::size,
        "How much of such a body is read (default 32MiB, at least 1B)",
    ),
    Key::optional(
        "streams",
        shape::integer,
        "HTTP/2 streams of a connection at a time (default 128, 1 to 100000)",
    ),
    Key::optional(
        "connections_per_client",
        shape::integer,
        "Open connections of one client address, IPv6 by its /64; not of `trusted_proxies` (default: no bound)",
    ),
    Key::optional("handshake_timeout", shape::duration, "Time for a TLS handshake (default 10s)"),
    Key::optional(
        "handshakes",
        shape::integer,
        "TLS handshakes under way in the whole process, beyond which new connections are closed (default 4096, 1 to 1000000)",
    ),
];

fn limits_schema() -> Schema {
    shape::object(LIMITS)
}

/// The schema of `listeners`.
pub(super) fn schema() -> Schema {
    shape::map(shape::object(LISTENER))
}

/// Reads `listeners`.
/// `misplaced` says that `trusted_proxies` stands at the top of the file, which is reported there.
pub(super) fn read(field: Field<'_>, vocabulary: Vocabulary<'_>, misplaced: bool) -> Vec<Listener> {
    named(field)
        .into_iter()
        .filter_map(|(name, field)| {
            let section = Section::open(field, LISTENER)?;
            let hosts = section.read("hosts", Vec::new(), |f| {
                f.list_of(|item| item.host_pattern().map(|host| Spanned::new(host, item.span())))
            });
            let (trusted_proxies, trusted_headers) = trusted::read(&section, misplaced);
            let listener = Listener {
                // A listener whose address is wrong is read to its end, so that all is reported, and left out.
                listen: Spanned::new(SocketAddr::from(([127, 0, 0, 1], 0)), name.span),
                name,
                hosts,
                tls: section.read("tls", None, |f| tls::read(f).map(Some)),
                trusted_proxies,
                trusted_headers,
                limits: section.read("limits", Limits::default(), limits),
                path: section.read("path", PathRules::default(), path_rules::read),
                interim: section.read("interim", InterimAnswers::default(), |f| f.choice(INTERIM, &[])),
                policies: section
                    .read("policies", Policies::default(), |f| Policies::read(f, vocabulary, false)),
                routes: section.read("routes", Vec::new(), |f| Some(route::read(f, vocabulary))),
            };
            let listen = section.get("listen").and_then(address)?;
            Some(Listener { listen, ..listener })
        })
        .collect()
}

/// The one listener of the short form, in the section of the whole file.
pub(super) fn short(listen: Field<'_>, file: &Section<'_>) -> Option<Listener> {
    let (trusted_proxies, trusted_headers) = trusted::read(file, false);
    Some(Listener {
        name: Spanned::new("default".into(), listen.label()),
        listen: address(listen)?,
        hosts: Vec::new(),
        tls: None,
        trusted_proxies,
        trusted_headers,
        limits: Limits::default(),
        path: PathRules::default(),
        interim: InterimAnswers::default(),
        policies: Policies::default(),
        routes: Vec::new(),
    })
}

fn address(field: Field<'_>) -> Option<Spanned<SocketAddr>> {
    field.socket_address().map(|address| Spanned::new(address, field.span()))
}

fn limits(field: Field<'_>) -> Option<Limits> {
    let section = Section::open(field, LIMITS)?;
    let default = Limits::default();
    Some(Limits {
        head: section.read("head", default.head, |f| f.size_held(64, LARGEST)),
        headers: section.read("headers", default.headers, |f| f.integer(1..=10_000)),
        target: section.read("target", default.target, |f| f.size_held(1, LARGEST)),
        body: section.read("body", default.body, |f| f.size()),
        head_timeout: section.read("head_timeout", default.head_timeout, |f| f.positive_duration()),
        body_timeout: section.read("body_timeout", default.body_timeout, |f| f.positive_duration()),
        body_rate: section.read("body_rate", default.body_rate, |f| f.size()),
        idle: section.read("idle", default.idle, |f| f.positive_duration()),
        half_closed: section.read("half_closed", default.half_closed, |f| f.duration()),
        linger: section.read("linger", default.linger, |f| f.duration()),
        linger_bytes: section.read("linger_bytes", default.linger_bytes, |f| f.size()),
        streams: section.read("streams", default.streams, |f| f.integer(1..=100_000)),
        connections_per_client: section
            .get("connections_per_client")
            .and_then(|field| field.integer(1..=u64::from(u32::MAX)))
            .and_then(|number| u32::try_from(number).ok()),
        handshake_timeout: section
            .read("handshake_timeout", default.handshake_timeout, |f| f.positive_duration()),
        handshakes: section.read("handshakes", default.handshakes, |f| f.integer(1..=1_000_000)),
    })
}

/// The most that may be held in memory for one request, in bytes and as written.
const LARGEST: (u64, &str) = (1 << 30, "1GiB");
