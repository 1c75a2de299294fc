//! The whole configuration as written, typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::cache::{self, CacheBounds};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::Node;
use super::field::Field;
use super::listener::{self, Listener};
use super::names::{Name, named};
use super::outline::Outline;
use super::overload::{self, Overload};
use super::policies::{Policies, Vocabulary};
use super::redis::{self, Redis};
use super::route::{self, Route};
use super::section::{Key, Schema, Section};
use super::shape;
use super::span::{Files, Spanned};
use super::trusted;
use super::upstream::{self, Upstream};

/// A configuration as written. Where the diagnostics of its load hold errors it is what could be read, so that
/// later stages can report their own findings too; it must not be served.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in; at least one in a configuration without errors.
    pub listeners: Vec<Listener>,
    /// The services.
    pub upstreams: Vec<Upstream>,
    /// Named authenticators.
    pub auth: Vec<Definition>,
    /// Named rate limits.
    pub rate_limits: Vec<Definition>,
    /// Policies for every route.
    pub policies: Policies,
    /// Routes of every listener.
    pub routes: Vec<Route>,
    /// The shared store of counters, where there is one.
    pub redis: Option<Redis>,
    /// The bounds of the store of answers.
    pub cache: CacheBounds,
    /// When the process takes no more.
    pub overload: Overload,
    /// The admin listener, where there is one.
    pub admin: Option<Spanned<SocketAddr>>,
    /// The access log; `None` where it is turned off.
    pub access_log: Option<AccessLog>,
    /// Its parts, to be compared with those of another one.
    pub outline: Outline,
    /// The files that spans point into.
    pub files: Arc<Files>,
}

/// Something that is declared by name and read by its kind.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name.
    pub name: Name,
    /// Its body.
    pub body: Node,
}

impl Definition {
    /// The body as a value to be read.
    pub fn field<'a>(&'a self, out: &'a Diagnostics) -> Field<'a> {
        Field::new(&self.name.value, self.name.span, &self.body, out)
    }
}

/// Where the access log goes, and how it looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLog {
    /// The file; standard output where there is none.
    pub file: Option<PathBuf>,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The keys of a file.
pub(super) const FILE: &[Key] = &[
    Key::optional("listen", shape::socket_address, "The address of the one listener, named `default`"),
    Key::optional(
        "trusted_proxies",
        shape::texts,
        "With `listen`: networks whose word about the client is believed",
    ),
    Key::optional(
        "trusted_headers",
        trusted::headers_schema,
        "With `listen`: header fields of trusted proxies that are believed (default x-forwarded-for, -proto, -host and -port)",
    ),
    Key::optional("listeners", listener::schema, "Several listeners by name"),
    Key::optional("upstreams", upstream::schema, "The services by name"),
    Key::optional("auth", || shape::map(shape::defined("auth")), "Authenticators by name"),
    Key::optional("rate_limits", || shape::map(shape::defined("rate_limit")), "Rate limits by name"),
    Key::optional("policies", || shape::defined("policies"), "Policies for every route"),
    Key::optional("routes", || shape::defined("routes"), "Routes of every listener"),
    Key::optional("redis", redis::schema, "The counters that several replicas share"),
    Key::optional("cache", cache::schema, "How much the store of answers may hold"),
    Key::optional("overload", overload::schema, "When the process takes no more"),
    Key::optional("admin", || shape::object(ADMIN), "The admin listener; absent = none"),
    Key::optional("telemetry", || shape::object(TELEMETRY), "What is logged"),
    Key::later("tests"),
];

const ADMIN: &[Key] = &[Key::needed("listen", shape::socket_address, "A loopback address and a port")];

const TELEMETRY: &[Key] = &[
    Key::optional("access_log", access_log_schema, "The access log; `none` turns it off"),
    Key::later("traces"),
];

const ACCESS_LOG: &[Key] = &[
    Key::optional("file", shape::path, "The file; standard output where there is none"),
    Key::optional("format", || shape::choice(&["auto", "text", "json"]), "How a line looks (default auto)"),
    Key::later("fields"),
    Key::later("sample"),
];

fn access_log_schema() -> Schema {
    shape::any(vec![shape::choice(&["none"]), shape::object(ACCESS_LOG)])
}

/// Reads the whole of a configuration, whose top is a map.
pub(super) fn read(root: &Node, vocabulary: Vocabulary<'_>, out: &Diagnostics) -> Option<Config> {
    let section = Section::open(Field::new("", root.span, root, out), FILE)?;
    Some(Config {
        listeners: listeners(&section, root, vocabulary),
        upstreams: section.read("upstreams", Vec::new(), |f| Some(upstream::read(f))),
        auth: section.read("auth", Vec::new(), |f| Some(definitions(f))),
        rate_limits: section.read("rate_limits", Vec::new(), |f| Some(definitions(f))),
        policies: section.read("policies", Policies::default(), |f| Policies::read(f, vocabulary, true)),
        routes: section.read("routes", Vec::new(), |f| Some(route::read(f, vocabulary))),
        redis: section.get("redis").and_then(redis::read),
        cache: section.read("cache", CacheBounds::default(), cache::read),
        overload: section.read("overload", Overload::default(), overload::read),
        admin: section.get("admin").and_then(admin),
        access_log: section.read("telemetry", Some(AccessLog::default()), telemetry),
        outline: Outline::of(root),
        files: Arc::clone(out.files()),
    })
}

fn listeners(section: &Section<'_>, root: &Node, vocabulary: Vocabulary<'_>) -> Vec<Listener> {
    let (short, long) = (section.get("listen"), section.get("listeners"));
    for key in ["trusted_proxies", "trusted_headers"] {
        if let (Some(_), Some(trusted)) = (long, section.get(key)) {
            let problem = Diagnostic::error(trusted.label(), format!("`{key}` stands with `listen` alone"));
            section.out().add(problem.help("write it into each of the `listeners` that it is for"));
        }
    }
    match (short, long) {
        (Some(short), None) => listener::short(short, section).into_iter().collect(),
        (short, Some(long)) => {
            if let Some(short) = short {
                let problem = Diagnostic::error(short.label(), "both `listen` and `listeners` are written");
                let problem =
                    problem.help("`listen` is the short form of one listener: move it into `listeners`");
                section.out().add(problem.note(long.label(), "the long form"));
            }
            let list = listener::read(long, vocabulary, section.has("trusted_proxies"));
            if long.is_map() && long.node().entries().is_empty() {
                long.error("no listener is written", "write `listen: 127.0.0.1:8080`");
            }
            list
        }
        (None, None) => {
            let problem = Diagnostic::error(root.span, "no listener is written: nobody could come in");
            section.out().add(problem.help("write `listen: 127.0.0.1:8080`"));
            Vec::new()
        }
    }
}

fn definitions(field: Field<'_>) -> Vec<Definition> {
    let list = named(field).into_iter();
    list.filter_map(|(name, value)| {
        if !value.is_map() {
            value.mismatch("a map");
            return None;
        }
        Some(Definition { name, body: value.node().clone() })
    })
    .collect()
}

fn admin(field: Field<'_>) -> Option<Spanned<SocketAddr>> {
    let listen = Section::open(field, ADMIN)?.get("listen")?;
    let address = listen.socket_address()?;
    if !address.ip().to_canonical().is_loopback() {
        listen.error("the admin listener must be on a loopback address", "write `127.0.0.1:9901`");
        return None;
    }
    Some(Spanned::new(address, listen.span()))
}

fn telemetry(field: Field<'_>) -> Option<Option<AccessLog>> {
    let Some(log) = Section::open(field, TELEMETRY)?.get("access_log") else {
        return Some(Some(AccessLog::default()));
    };
    if log.is_word("none") {
        return Some(None);
    }
    let section = Section::open(log, ACCESS_LOG)?;
    let words = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.read("format", LogFormat::Auto, |f| f.choice(&words, &["logfmt"]));
    Some(Some(AccessLog { file: section.get("file").and_then(|f| f.path()), format }))
}
