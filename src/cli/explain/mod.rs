//! `explain`: what a request would meet, told without sending anything.

mod json;
mod text;
mod told;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use clap::Args;

use crate::config::{HostPattern, nearest};
use crate::exchange::authority::authority_length;
use crate::exchange::{Authority, Body, CoreId, Error, HeaderId, Headers, Name, Pseudonym};
use crate::http1::parse_request;
use crate::net::Facts;
use crate::pipeline::{Arrived, Core, Walk};
use crate::runtime::clock;
use crate::server::Source;
use crate::snapshot::compile::Environment;
use crate::snapshot::explain::{Explanation, explain};
use crate::snapshot::{ListenerPlan, Pinned, Snapshot};

use super::arguments::{ConfigPath, Format};
use super::failure::Failure;
use super::output;

use told::{Refused, Told};

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    path: ConfigPath,
    /// The method.
    method: String,
    /// The path with its query, or a whole URL whose host and port select the listener.
    #[arg(value_name = "URL")]
    url: String,
    /// A header line of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The listener that the request comes in by.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client_ip: IpAddr,
    /// The format of the explanation.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn explain_request(arguments: &Arguments) -> Result<(), Failure> {
    let environment = Environment::new(1);
    let compiled = Source::Path(arguments.path.path().to_owned()).compile(None, &environment);
    let Some(snapshot) = compiled.snapshot else {
        output::diagnostics(&compiled.diagnostics);
        return Err(if compiled.unreadable { Failure::Unreadable } else { Failure::Configuration });
    };
    let told = tell(arguments, &Arc::new(snapshot), &environment)?;
    output::print(&match arguments.output {
        Format::Text => text::text(&told),
        Format::Json => format!("{:#}\n", json::json(&told)),
    });
    Ok(())
}

fn tell(arguments: &Arguments, snapshot: &Arc<Snapshot>, environment: &Environment) -> Result<Told, Failure> {
    let all = [&arguments.method, &arguments.url].into_iter().chain(&arguments.headers);
    if all.into_iter().any(|text| text.contains(['\r', '\n'])) {
        return Err(Failure::Environment(
            "a request line and its headers are lines: no line breaks".to_owned(),
        ));
    }
    let (authority, target) = taken_apart(&arguments.url)?;
    let lines = lines(&arguments.headers)?;
    let named = lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| *value);
    let (plan, why) = listener(snapshot, arguments.listener.as_deref(), (authority, named))?;
    let host = named.or(authority).map_or_else(|| usual_host(snapshot, plan), str::to_owned);

    let mut head = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", arguments.method);
    for (name, value) in lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut told = Told {
        method: arguments.method.clone(),
        target: target.to_owned(),
        host,
        client: arguments.client_ip,
        listener: Name::clone(&plan.name),
        address: plan.address,
        why,
        read: None,
        outcome: Err(Refused { status: 400, phrase: "malformed request".to_owned(), detail: None }),
    };
    let core = Rc::new(Core::new(CoreId(0), None, Arc::clone(&environment.metrics)));
    let pinned = Pinned::new(Arc::clone(snapshot), &plan.name);
    let Some(pinned) = pinned else { return Ok(told) };
    match parse_request(head.as_bytes(), &plan.limits.head, Headers::new()) {
        Ok(Some(read)) => {
            // Of a listener with TLS it is one whose handshake went well, and asked for no other terms.
            let tls = pinned.plan.tls.is_some().then(Box::default);
            let connection = Facts { tls, ..Facts::plain(SocketAddr::new(arguments.client_ip, 0)) };
            let pinned = if arguments.listener.is_some() {
                pinned
            } else {
                let asked = read.headers.get_id(HeaderId::Host).unwrap_or_default();
                Rc::clone(&pinned).for_host(asked, &connection, &read.headers)
            };
            if pinned.plan.name != told.listener {
                told.listener = Name::clone(&pinned.plan.name);
                told.why = "its hosts fit the public host best".to_owned();
            }
            let arrived = Arrived {
                connection: &connection,
                started: clock::now(),
                method: read.method,
                target: &head.as_bytes()[read.target],
                version: read.version,
                headers: read.headers,
                body: Body::Empty,
                interims: None,
            };
            let mut walk = Walk::admit(core, Rc::clone(&pinned), arrived);
            let found = walk.find();
            told.outcome = match found {
                Ok((rule, miss)) => {
                    let (exchange, miss) = (&mut walk.exchange, miss.as_ref());
                    told.read = Some((exchange.request.target.as_str().to_owned(), exchange.client.ip));
                    Ok(explain(&pinned, exchange, rule, miss))
                }
                Err(refused) => Err(refused.into()),
            };
        }
        Ok(None) => {}
        Err(error) => told.outcome = Err(Error::from(error).into()),
    }
    if let Ok(explanation) = &mut told.outcome {
        withhold(explanation, &environment.pseudonym);
    }
    Ok(told)
}

/// The host and port of a URL, and its path with the query.
fn taken_apart(url: &str) -> Result<(Option<&str>, &str), Failure> {
    if url.starts_with('/') || url == "*" {
        return Ok((None, url));
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Err(Failure::Environment(format!(
            "`{url}` is no URL: write a path such as `/api/users/7`, or `http://HOST/PATH`"
        )));
    };
    let (authority, target) = rest.split_at(authority_length(rest.as_bytes()));
    Ok((Some(authority), if target.is_empty() { "/" } else { target }))
}

fn lines(headers: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let wrong = |line| Failure::Environment(format!("`{line}` is no header line: write `NAME: VALUE`"));
    headers
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(line))?;
            Ok((name, value.trim()))
        })
        .collect()
}

/// The listener, and why it is the one: named, or by the port of the URL, or by the host.
fn listener<'a>(
    snapshot: &'a Snapshot,
    named: Option<&str>,
    (authority, line): (Option<&str>, Option<&str>),
) -> Result<(&'a Arc<ListenerPlan>, String), Failure> {
    if let Some(name) = named {
        let plan = snapshot.listener(name).ok_or_else(|| unknown_listener(snapshot, name))?;
        return Ok((plan, "named by --listener".to_owned()));
    }
    let all: Vec<&Arc<ListenerPlan>> = snapshot.listeners.iter().collect();
    if let [only] = all[..] {
        return Ok((only, "the only one".to_owned()));
    }
    let port = authority.and_then(|authority| Authority::split(authority).number());
    let mut there: Vec<_> = all.iter().copied().filter(|plan| Some(plan.address.port()) == port).collect();
    if let [only] = there[..] {
        return Ok((only, "by the port of the URL".to_owned()));
    }
    if there.is_empty() {
        there = all;
    }
    let host = line.or(authority).unwrap_or_default();
    let fits = |plan: &&&Arc<ListenerPlan>| plan.hosts.as_ref().and_then(|hosts| hosts.closeness(host));
    if let Some(plan) = there.iter().filter(|plan| fits(plan).is_some()).max_by_key(fits) {
        return Ok((plan, format!("its hosts fit `{host}` best")));
    }
    let open = there.iter().find(|plan| plan.hosts.is_none()).or(there.first());
    let Some(plan) = open else {
        return Err(Failure::Environment("there is no listener".to_owned()));
    };
    let others: Vec<&str> =
        snapshot.listeners.iter().map(|other| &*other.name).filter(|name| *name != &*plan.name).collect();
    Ok((plan, format!("nothing says which; --listener names another: {}", others.join(", "))))
}

/// There is no listener of that name.
pub(super) fn unknown_listener(snapshot: &Snapshot, name: &str) -> Failure {
    let known: Vec<&str> = snapshot.listeners.iter().map(|listener| &*listener.name).collect();
    let told = format!("there is no listener `{name}`: the listeners are `{}`", known.join("`, `"));
    Failure::Environment(match nearest(name, known) {
        Some(meant) => format!("{told}; did you mean `{meant}`?"),
        None => told,
    })
}

/// The host of a request that names none: one that the listener answers for, else its address.
fn usual_host(snapshot: &Snapshot, plan: &ListenerPlan) -> String {
    let config = &snapshot.sources.config;
    let written = config.listeners.iter().find(|listener| listener.name.value == plan.name);
    match written.and_then(|listener| listener.hosts.first()).map(|host| &host.value) {
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Below(name)) => format!("www.{name}"),
        None => plan.address.to_string(),
    }
}

/// What a request carries to prove who sends it is not shown again, and what every request has anew is not invented.
fn withhold(explanation: &mut Explanation, process: &Pseudonym) {
    for (name, value) in &mut explanation.action.headers {
        match HeaderId::of(name.as_bytes()) {
            HeaderId::Authorization | HeaderId::Cookie => *value = "(as sent)".to_owned(),
            HeaderId::XRequestId => *value = "(the id of the request)".to_owned(),
            HeaderId::Via => *value = value.replace(process.name(), "(the name of the process)"),
            _ => {}
        }
    }
}
