//! The shared store of counters as written.

use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::field::Field;
use super::pem::{self, Secret};
use super::section::{Key, Schema, Section};
use super::shape;
use super::text::Text;
use super::units::Bad;
use super::url::{Host, authority_parts};

/// Where Redis or Valkey is and how it is spoken to; equal settings mean the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// The server, or the nodes of a cluster or of a primary and its replicas; at least one.
    pub nodes: Vec<Node>,
    /// Whether `urls` was written: which of the nodes is to be asked has to be found out.
    pub several: bool,
    /// TLS, where the URLs begin with `rediss://`.
    pub tls: Option<Tls>,
    /// The user to log in as.
    pub username: Option<String>,
    /// The password to log in with.
    pub password: Option<Secret>,
    /// The number of the database.
    pub database: u16,
    /// How long a request waits for an answer.
    pub timeout: Duration,
    /// What every key begins with.
    pub namespace: String,
}

impl Redis {
    /// The port where none is written.
    pub const PORT: u16 = 6379;
    /// `timeout` where none is written.
    pub const TIMEOUT: Duration = Duration::from_millis(50);
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

/// How TLS is spoken. Files are read when the configuration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who is trusted (PEM); the machine's own list where there is none.
    pub ca: Option<Vec<u8>>,
    /// The gate's own certificate and its key (PEM).
    pub identity: Option<(Vec<u8>, Secret)>,
}

const REDIS: &[Key] = &[
    Key::optional("url", url_schema, "The server: redis://host:port, or rediss:// for TLS"),
    Key::optional(
        "urls",
        || shape::list(url_schema()),
        "The nodes of a cluster, or a primary and its replicas",
    ),
    Key::optional("timeout", shape::duration, "How long a request waits for an answer (default 50ms)"),
    Key::optional("namespace", shape::text, "What every key begins with (default portcullis)"),
    Key::optional("username", shape::text, "Instead of a user in the URL"),
    Key::optional("password", shape::text, "Instead of a password in the URL"),
    Key::optional("tls", || shape::object(TLS), "Certificates, for rediss://"),
];

const TLS: &[Key] = &[
    Key::optional("ca", shape::path, "Whose certificates are trusted (PEM; default: as the machine does)"),
    Key::optional("certificate", shape::path, "The gate's own certificate (PEM)"),
    Key::optional("key", shape::path, "The key of `certificate` (PEM)"),
];

fn url_schema() -> Schema {
    serde_json::json!({
        "title": "URL of a Redis server",
        "type": "string",
        "pattern": "^rediss?://|\\$\\{",
        "examples": ["redis://redis:6379", "rediss://redis:6379/1"],
    })
}

/// The schema of `redis`.
pub(super) fn schema() -> Schema {
    shape::object(REDIS)
}

/// Reads `redis`.
pub(super) fn read(field: Field<'_>) -> Option<Redis> {
    let section = Section::open(field, REDIS)?;
    let timeout = section.read("timeout", Redis::TIMEOUT, |f| f.positive_duration());
    let namespace = section.read("namespace", "portcullis".to_owned(), namespace);
    let tls = section.get("tls").map(tls);
    let username = section.get("username").map(|f| f.filled());
    let password = section.get("password").map(|f| f.filled());
    let written = section.exactly_one(&["url", "urls"])?;
    let several = written.name() == "urls";
    let places = if several { written.list()? } else { vec![written] };
    let addresses: Vec<Option<Address>> = places.iter().map(address).collect();
    let addresses: Vec<Address> = addresses.into_iter().collect::<Option<_>>()?;
    let Some(first) = addresses.first() else {
        written.error("`urls` is empty", "write the URL of at least one node");
        return None;
    };
    if let Some(at) = addresses.iter().position(|other| !other.like(first)) {
        let what = "the nodes differ in more than host and port";
        places[at].error(what, "write the same scheme, user, password and database for all of them");
        return None;
    }
    for (key, in_url) in [("username", first.username.is_some()), ("password", first.password.is_some())] {
        if let (Some(field), true) = (section.get(key), in_url) {
            let what = format!("`{key}` is written here and in the URL");
            section.out().add(Diagnostic::error(field.label(), what).help("keep one of them"));
            return None;
        }
    }
    if let (Some(field), false) = (section.get("tls"), first.tls) {
        let what = "`tls` is written, but the URL is `redis://`: nothing would be encrypted";
        section.out().add(Diagnostic::error(field.label(), what).help("write `rediss://`, or remove `tls`"));
        return None;
    }
    let username =
        username.map_or(Some(first.username.clone()), |name| name.map(|n| Some(n.into_string())))?;
    let secret = |text: Text| Some(Secret::new(text.into_string().into_bytes()));
    let password = password.map_or(Some(first.password.clone()), |word| word.map(secret))?;
    if username.is_some() && password.is_none() {
        section.out().add(
            Diagnostic::error(written.label(), "a user without a password")
                .help("add `password`, or remove the user"),
        );
        return None;
    }
    Some(Redis {
        several,
        tls: if first.tls { Some(tls.unwrap_or_else(|| Some(Tls::default()))?) } else { None },
        username,
        password,
        database: first.database,
        timeout,
        namespace,
        nodes: addresses.into_iter().map(|address| address.node).collect(),
    })
}

fn namespace(field: Field<'_>) -> Option<String> {
    let text = field.filled()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if text.as_str().len() > 64 || !text.as_str().bytes().all(plain) {
        field.error("not a namespace", "write up to 64 letters, digits, `_`, `.` and `-`");
        return None;
    }
    Some(text.into_string())
}

fn tls(field: Field<'_>) -> Option<Tls> {
    let section = Section::open(field, TLS)?;
    let [ca, certificate, key] =
        ["ca", "certificate", "key"].map(|name| section.get(name).map(|f| (f, pem::read(f))));
    if let (Some((alone, _)), None) | (None, Some((alone, _))) = (&certificate, &key) {
        let what = "`certificate` and `key` belong together";
        section.out().add(Diagnostic::error(alone.label(), what).help("write both, or none"));
        return None;
    }
    let identity = match (certificate, key) {
        (Some((_, certificate)), Some((_, key))) => Some((certificate?, Secret::new(key?))),
        _ => None,
    };
    Some(Tls { ca: ca.map_or(Some(None), |(_, ca)| ca.map(Some))?, identity })
}

/// What a URL says.
struct Address {
    tls: bool,
    username: Option<String>,
    password: Option<Secret>,
    node: Node,
    database: u16,
}

impl Address {
    fn like(&self, other: &Address) -> bool {
        let key = |a: &Address| (a.tls, a.username.clone(), a.password.clone(), a.database);
        key(self) == key(other)
    }
}

fn address(field: &Field<'_>) -> Option<Address> {
    let text = field.filled()?;
    match parse(text.as_str()) {
        Ok(address) => Some(address),
        Err((what, help)) => {
            field.error(what, help);
            None
        }
    }
}

/// Reads `redis[s]://[[user]:password@]host[:port][/database]`.
fn parse(text: &str) -> Result<Address, Bad> {
    let bad = |what: &str, help: &str| (what.to_owned(), help.to_owned());
    let form = || bad("not the URL of a Redis server", "write `redis://host:port`, or `rediss://` for TLS");
    let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(form()),
    };
    // A password may hold `/`, `?` and `#` only percent-encoded; a host holds no `@`.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    if rest.contains(['?', '#']) {
        return Err(bad(
            "this URL has a query or a fragment",
            "keep host, port and database; `tls` has its own keys",
        ));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = if database.is_empty() { Ok(0) } else { database.parse() };
    let database =
        database.map_err(|_| bad("the path of this URL is no number of a database", "write `/0`"))?;
    let (host, port) = authority_parts(authority).ok_or_else(form)?;
    let (mut username, mut password) = (None, None);
    if let Some(user) = user {
        let encoded = || {
            bad("the user or password of this URL is badly encoded", "percent-encode it, or use `password`")
        };
        let (name, word) = user.split_once(':').unwrap_or((user, ""));
        let decode = |part| decoded(part).ok_or_else(encoded);
        username = Some(decode(name)?).filter(|name| !name.is_empty());
        password = Some(decode(word)?).filter(|word| !word.is_empty());
    }
    let password = password.map(|word| Secret::new(word.into_bytes()));
    Ok(Address { tls, username, password, node: Node { host, port: port.unwrap_or(Redis::PORT) }, database })
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |b: u8| char::from(b).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'/' | b'?' | b'#' => return None,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
