//! `demo`: three small services and a gateway in front of them in one process.

mod intro;
mod services;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;

use crate::admin;
use crate::server::{self, Options, Source};
use crate::telemetry::log::Level;

use super::failure::Failure;
use super::output;
use super::token::{claims, sign};

use services::Services;

/// Where the admin listener stands, if the port is free.
const ADMIN_PORT: u16 = 9901;
/// The first port for a service, if it is free.
const SERVICE_PORT: u16 = 3001;
/// How many ports after the wanted one are tried.
const TRIED: u16 = 100;
/// The time for requests in progress at the end.
const GRACE: Duration = Duration::from_secs(2);
/// For how long the printed token is valid.
const TOKEN: Duration = Duration::from_secs(12 * 3600);
/// The subject of the printed token.
const USER: &str = "42";

#[derive(Args)]
pub(super) struct Arguments {
    /// The gateway's port on 127.0.0.1; the next free one where it is taken.
    #[arg(long, value_name = "PORT", default_value = "8080")]
    port: u16,
    /// The port of the admin listener on 127.0.0.1; the next free one where it is taken.
    #[arg(long, value_name = "PORT", default_value_t = ADMIN_PORT)]
    admin_port: u16,
    /// Write the configuration to this new file, to read it and to go on from it.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

pub(super) fn demo(arguments: &Arguments) -> Result<(), Failure> {
    let services =
        Services::start(SERVICE_PORT).map_err(|error| failed("the services could not be started", &error))?;
    // Nobody can take a port from us that the system chooses as the gateway binds it.
    let port = if arguments.port == 0 { 0 } else { free_port(arguments.port, None)? };
    let admin_port = if arguments.admin_port == 0 { 0 } else { free_port(arguments.admin_port, Some(port))? };
    if port != arguments.port {
        output::print(&format!("Port {} is taken: the gateway is on port {port}.\n\n", arguments.port));
    }
    let secret = secret().map_err(|error| failed("no secret could be made", &error))?;
    let token = sign(&secret, claims(Some(USER), TOKEN, &[]))?;
    let text = configuration(port, admin_port, &secret, &services);
    if let Some(path) = &arguments.save {
        save(path, &text)
            .map_err(|error| failed(&format!("{} could not be written", path.display()), &error))?;
        output::print(&format!("The configuration is in {}.\n\n", path.display()));
    }

    let log = output::operator_log(Level::Warn)?;
    let told = Arc::clone(&log);
    let outcome = server::run(Options {
        source: Source::Text { path: PathBuf::from("demo.yaml"), text },
        drain_delay: Duration::ZERO,
        grace: GRACE,
        log,
        stdout: output::stdout(),
        admin: admin::serve,
        ready: Box::new(move |ready| output::print(&intro::intro(ready, &token, USER))),
    });
    output::end(&told);
    Ok(outcome?)
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Environment(format!("{what}: {error}"))
}

/// Writes the configuration to a file that does not exist yet. It holds the secret, so only its owner may read it.
fn save(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(format!("{SAVED}{text}").as_bytes())
}

/// The comment at the start of a saved file.
const SAVED: &str = "\
# The configuration of `portcullis demo`. Its services run only while the demonstration does: replace their URLs.
# The secret is one of this demonstration: for your own, write secret: \"${JWT_SECRET}\".
";

/// The first free port from `wanted` on. It is bound again a moment later: should somebody else be faster, the
/// gateway says so.
fn free_port(wanted: u16, but: Option<u16>) -> Result<u16, Failure> {
    let bind =
        |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|socket| socket.local_addr());
    let ports = (wanted..=wanted.saturating_add(TRIED)).filter(|port| Some(*port) != but);
    let found = ports.map(bind).find_map(Result::ok);
    found.map(|address| address.port()).ok_or_else(|| {
        Failure::Environment(format!(
            "no port from {wanted} on is free on 127.0.0.1: choose another with --port"
        ))
    })
}

/// A secret that nobody else knows, for the life of this process.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The meaning of `examples/edge.yaml`, with this process's ports and secret, and an answer that lacks a part: there are no
/// offers.
fn configuration(port: u16, admin: u16, secret: &str, services: &Services) -> String {
    let Services { users, orders, catalog } = services;
    format!(
        r#"listen: 127.0.0.1:{port}
admin: {{ listen: 127.0.0.1:{admin} }}
telemetry: {{ access_log: {{ format: text }} }}

upstreams:
  users:   {{ url: "http://{users}" }}
  orders:  {{ url: "http://{orders}" }}
  catalog: {{ url: "http://{catalog}" }}

auth:
  user:
    jwt: {{ secret: "{secret}", algorithms: [HS256] }}
    identity: {{ x-user-id: sub }}

rate_limits:
  edge: {{ limit: 100, window: 60s, key: client.ip, algorithm: fixed_window, headers: [draft-7] }}

policies:
  rate_limit: edge
  auth: user

routes:
  /api/users/*:   {{ upstream: users,   rewrite: / }}
  /api/orders/*:  {{ upstream: orders,  rewrite: / }}
  /api/catalog/*: {{ upstream: catalog, rewrite: /, policies: {{ auth: none }} }}
  GET /api/dashboard/{{userId}}:
    policies: {{ authorize: identity.id == params.userId }}
    aggregate:
      mode: all
      sources:
        user:            {{ upstream: users,   path: "/{{userId}}" }}
        orders:          {{ upstream: orders,  path: "/by-user/{{userId}}" }}
        recommendations: {{ upstream: catalog, path: "/recommend/{{userId}}" }}
  GET /api/home/{{userId}}:
    policies: {{ authorize: identity.id == params.userId }}
    aggregate:
      mode: partial
      sources:
        user:   {{ upstream: users,   path: "/{{userId}}", required: true }}
        orders: {{ upstream: orders,  path: "/by-user/{{sources.user.body.id}}" }}
        offers: {{ upstream: catalog, path: "/offers/for/{{userId}}", fallback: [] }}
      shape: {{ keep: [user.name, "orders[].id", offers] }}
"#
    )
}

#[cfg(test)]
mod tests;
