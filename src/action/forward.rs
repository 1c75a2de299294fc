//! What every request to a service says of the one who asked, whichever action sends it.
//!
//! These lines are the gate's own: `admit` has removed what a client sent of them, unless it is a trusted proxy.

use smallvec::SmallVec;

use crate::exchange::address::push_ip;
use crate::exchange::{Authority, Exchange, HeaderId, Headers, Scheme};

/// Adds the forwarding lines, the request id and the identity.
pub(super) fn speak(exchange: &Exchange, out: &mut Headers) {
    let seen = &exchange.request.headers;
    let client = &exchange.client;
    let mut text: SmallVec<[u8; 128]> = SmallVec::new();

    // One combined line (RFC 9110 section 5.3): what trusted proxies reported, then the peer. Elements without an address
    // are left out (RFC 9110 section 5.6.1).
    let (peer, mut before) = (client.peer.ip().to_canonical(), 0);
    if client.trusted {
        let lines = seen.all_id(HeaderId::XForwardedFor).flat_map(|line| line.split(|byte| *byte == b','));
        for address in lines.map(<[u8]>::trim_ascii).filter(|address| !address.is_empty()) {
            text.extend_from_slice(address);
            text.extend_from_slice(b", ");
        }
        if text.is_empty() && client.ip != peer {
            // Another field reported it.
            push_ip(&mut text, client.ip);
            text.extend_from_slice(b", ");
        }
        before = text.len();
    }
    push_ip(&mut text, peer);
    out.push_id(HeaderId::XForwardedFor, &text);
    if client.ip == peer {
        out.push_id(HeaderId::XRealIp, &text[before..]);
    } else {
        text.clear();
        push_ip(&mut text, client.ip);
        out.push_id(HeaderId::XRealIp, &text);
    }

    out.push_id(HeaderId::XForwardedProto, client.scheme.as_str().as_bytes());
    let host = exchange.request.host_bytes();
    // HTTP/1.0 may name none (RFC 9112 section 3.2).
    if !host.is_empty() {
        out.push_id(HeaderId::XForwardedHost, host);
    }
    let port = Authority::split(host).port.unwrap_or(match client.scheme {
        Scheme::Http => b"80",
        Scheme::Https => b"443",
    });
    out.push_id(HeaderId::XForwardedPort, port);
    out.push_id(HeaderId::XRequestId, exchange.id.as_bytes());
    if client.trusted {
        for id in [HeaderId::Traceparent, HeaderId::Tracestate] {
            if let Some(value) = seen.get_id(id) {
                out.push_id(id, value);
            }
        }
    }
    if let Some(identity) = &exchange.identity {
        for (name, value) in &identity.headers {
            out.push_judged(name.as_bytes(), value);
        }
    }
}
