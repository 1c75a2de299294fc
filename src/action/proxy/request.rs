//! The head that a service gets.

use std::borrow::Cow;

use crate::exchange::target::PathRules;
use crate::exchange::{Error, ErrorKind, Exchange, HeaderId, Headers, Request, Target};
use crate::expression::EvalError;

use super::super::forward;
use super::super::hops::{self, Left};
use super::{HostRule, Proxy, Rewrite, connection};

/// How paths of the service and public paths belong together, for `Location`, cookies and `X-Forwarded-Prefix`.
pub(super) struct Mapping {
    /// How long the public prefix is, as a part of the request's path.
    pub(super) public: usize,
    /// The prefix at the service, without a slash at its end.
    pub(super) inner: String,
}

impl Mapping {
    /// The public path that leads to the service, without a slash at its end.
    pub(super) fn public_path<'a>(&self, exchange: &'a Exchange) -> Cow<'a, str> {
        let own = exchange.request.target.path().get(..self.public).unwrap_or_default().trim_end_matches('/');
        match exchange.outer_prefix() {
            "" => Cow::Borrowed(own),
            outer => Cow::Owned([outer, own].concat()),
        }
    }
}

/// A request as it goes to the service.
pub(super) struct Outgoing {
    pub(super) request: Request,
    pub(super) mapping: Mapping,
    /// Whether it offers other protocols.
    pub(super) upgrades: bool,
}

/// The outgoing request; the exchange keeps its own.
pub(super) fn outgoing(proxy: &Proxy, exchange: &mut Exchange) -> Result<Outgoing, Error> {
    let (target, mapping) = target(proxy, exchange)?;
    let left = hops::left(&exchange.request.method, &exchange.request.headers)?;
    let from = &exchange.request;
    let mut headers = Headers::with_capacity(24, 1024);
    match &proxy.host {
        HostRule::Upstream => headers.push_id(HeaderId::Host, proxy.upstream.settings().authority.as_bytes()),
        HostRule::Client => headers.push_id(HeaderId::Host, from.host_bytes()),
        HostRule::Literal(host) => headers.push_id(HeaderId::Host, host.as_bytes()),
    }
    let mut hops = exchange.grpc;
    headers.extend_from(&from.headers, |id, _, _| {
        let passes = id != HeaderId::Host && !id.stays();
        hops |= !passes && id.hop_by_hop();
        passes
    });
    let upgrades = hops && connection::says(exchange, &mut headers);
    if let Left::Some(left) = left {
        headers.remove("max-forwards");
        headers.push_written(b"max-forwards", |out| out.extend_from_slice(left.to_string().as_bytes()));
    }
    hops::pass(&proxy.upstream, exchange, &mut headers);
    forward::speak(exchange, &mut headers);
    if mapping.public > 0 || exchange.client.trusted {
        // The client's path is this and the path that the service gets, where nothing else was put in front of that.
        let public = mapping.public_path(exchange);
        if let Some(prefix) = public.strip_suffix(mapping.inner.as_str()).filter(|prefix| !prefix.is_empty())
        {
            headers.push_id(HeaderId::XForwardedPrefix, prefix.as_bytes());
        }
    }
    let mut body = exchange.request.body.take();
    if exchange.grpc || proxy.trailers.is_some() {
        connection::pass_trailers(proxy, exchange, (&mut body, &mut headers));
    }
    let request = Request {
        method: exchange.request.method.clone(),
        target,
        version: exchange.request.version,
        headers,
        body,
    };
    Ok(Outgoing { request, mapping, upgrades })
}

fn target(proxy: &Proxy, exchange: &Exchange) -> Result<(Target, Mapping), Error> {
    let base = proxy.upstream.settings().base_path.as_str();
    let from = &exchange.request.target;
    match &proxy.rewrite {
        None if base.is_empty() => Ok((from.clone(), Mapping { public: 0, inner: String::new() })),
        None => {
            let target = again(proxy, &format!("{base}{}", from.as_str()))?;
            Ok((target, Mapping { public: 0, inner: base.to_owned() }))
        }
        Some(Rewrite::Prefix(template)) => {
            let rendered = template.render(exchange).map_err(unreadable)?;
            let (prefix, query) = match rendered.split_once('?') {
                Some((prefix, query)) => (prefix, Some(query)),
                None => (&*rendered, None),
            };
            let inner = format!("{base}{}", prefix.trim_end_matches('/'));
            let rest = exchange.rest();
            let mut text = String::with_capacity(inner.len() + from.as_str().len() + 1);
            text.push_str(&inner);
            // Nothing behind the prefix means the prefix itself, as it was written.
            text.push_str(if rest.is_empty() && (prefix.ends_with('/') || inner.is_empty()) {
                "/"
            } else {
                rest
            });
            push_query(&mut text, query.or(from.query()));
            Ok((again(proxy, &text)?, Mapping { public: exchange.rest as usize, inner }))
        }
        Some(Rewrite::Whole(template)) => {
            let rendered = template.render(exchange).map_err(unreadable)?;
            let mut text = format!("{base}{rendered}");
            if !rendered.contains('?') {
                push_query(&mut text, from.query());
            }
            // A whole new path has no prefix that could be undone.
            Ok((again(proxy, &text)?, Mapping { public: 0, inner: base.to_owned() }))
        }
    }
}

fn push_query(text: &mut String, query: Option<&str>) {
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
}

/// What a rewrite made is judged as what a client sent; a `;` in it is the configuration's own, or was kept before.
fn again(proxy: &Proxy, text: &str) -> Result<Target, Error> {
    Target::from_rewritten(text, PathRules { semicolon_keep: true, ..proxy.path_rules })
        .map_err(|error| Error::new(ErrorKind::MalformedRequest).reason("rewrite").source(error))
}

fn unreadable(error: EvalError) -> Error {
    Error::new(ErrorKind::MalformedRequest).reason("rewrite").source(error)
}
