//! Listeners on one address: the Host of a request chooses among them, so they must tell apart by `hosts`, and agree
//! on what is judged before a Host is known.

use crate::runtime::hash::HashMap;
use std::net::SocketAddr;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::listener::{Limits, Listener};
use super::model::Config;
use super::span::Span;
use super::text::quoted;
use super::url::HostPattern;

/// Reports addresses that two would have. Port 0 is whatever the system gives.
pub(super) fn check(config: &Config, out: &Diagnostics) {
    let mut seen: Vec<(SocketAddr, Vec<&Listener>)> = Vec::new();
    for listener in config.listeners.iter().filter(|listener| listener.listen.value.port() != 0) {
        let address = listener.listen.value;
        match seen.iter_mut().find(|(other, _)| *other == address) {
            Some((_, sharing)) => sharing.push(listener),
            None => seen.push((address, vec![listener])),
        }
    }
    for (address, sharing) in &seen {
        if let [first, others @ ..] = &sharing[..]
            && !others.is_empty()
        {
            nameless(*address, sharing, out);
            hosts(sharing, out);
            others.iter().for_each(|other| early(first, other, out));
            others.iter().for_each(|other| tls(first, other, out));
        }
    }
    if let Some(admin) = &config.admin
        && let Some((address, sharing)) = seen.iter().find(|(address, _)| *address == admin.value)
    {
        let problem = Diagnostic::error(admin.span, format!("two listeners on `{address}`"));
        out.add(problem.help("give each its own address").note(sharing[0].listen.span, "the other one"));
    }
}

/// At most one of them takes whatever no other takes.
fn nameless(address: SocketAddr, sharing: &[&Listener], out: &Diagnostics) {
    let mut open = sharing.iter().filter(|listener| listener.hosts.is_empty());
    let Some(first) = open.next() else { return };
    for other in open {
        let problem = Diagnostic::error(other.listen.span, format!("two listeners on `{address}`"));
        out.add(
            problem
                .help("give each its own address, or all but one of them `hosts` of its own")
                .note(first.listen.span, "the other one"),
        );
    }
}

/// No host belongs to two of them.
fn hosts(sharing: &[&Listener], out: &Diagnostics) {
    let mut seen: HashMap<&HostPattern, (Span, &str)> = HashMap::default();
    for listener in sharing {
        for host in &listener.hosts {
            let mine = (host.span, &*listener.name.value);
            let Some((span, name)) = seen.insert(&host.value, mine).filter(|(_, name)| *name != mine.1)
            else {
                continue;
            };
            let what = format!("the listener {} answers for this host on the same address", quoted(name));
            out.add(
                Diagnostic::error(host.span, what)
                    .help("leave it to one of them, or give each its own address")
                    .note(span, "the other one"),
            );
        }
    }
}

/// An address speaks TLS or does not. Which certificate is shown may depend on the name that the client asks for.
fn tls(first: &Listener, other: &Listener, out: &Diagnostics) {
    if first.tls.is_some() == other.tls.is_some() {
        return;
    }
    let what = format!(
        "the listeners {} and {} share an address, and only one of them has `tls`",
        quoted(&first.name.value),
        quoted(&other.name.value)
    );
    out.add(
        Diagnostic::error(other.listen.span, what)
            .help("write `tls` in both, or give each its own address")
            .note(first.listen.span, "the other one"),
    );
}

/// What is judged before the Host is known cannot depend on it.
fn early(first: &Listener, other: &Listener, out: &Diagnostics) {
    let (a, b): (&Limits, &Limits) = (&first.limits, &other.limits);
    let differ = [
        ("head", a.head != b.head),
        ("headers", a.headers != b.headers),
        ("target", a.target != b.target),
        ("head_timeout", a.head_timeout != b.head_timeout),
        ("idle", a.idle != b.idle),
        ("streams", a.streams != b.streams),
        ("connections_per_client", a.connections_per_client != b.connections_per_client),
        ("handshake_timeout", a.handshake_timeout != b.handshake_timeout),
        ("handshakes", a.handshakes != b.handshakes),
    ];
    for (key, _) in differ.iter().filter(|(_, differs)| *differs) {
        let what = format!(
            "the listeners {} and {} share an address, and differ in `limits.{key}`",
            quoted(&first.name.value),
            quoted(&other.name.value)
        );
        out.add(
            Diagnostic::error(other.listen.span, what)
                .help("it is judged before the host is known: write the same in both")
                .note(first.listen.span, "the other one"),
        );
    }
}
