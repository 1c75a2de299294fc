//! What a request to a service says of its connection and of trailers: the gateway's own words for what the client asked.
//!
//! Most requests say nothing of it. `TE` and `Upgrade` speak of one connection, so `Connection` names them (RFC 9110
//! sections 7.8 and 10.1.4); HTTP/2 has no such line and leaves it out.

use crate::exchange::{Body, Exchange, HeaderId, Headers, Passing};

use super::Proxy;

/// Adds the client's offer of other protocols, or that trailers are welcome; whether it offers.
#[cold]
pub(super) fn says(exchange: &Exchange, out: &mut Headers) -> bool {
    let from = &exchange.request.headers;
    if from.has_id(HeaderId::Upgrade) {
        // The codec has judged them. Alone in Connection: some services compare it whole.
        for protocols in from.all_id(HeaderId::Upgrade) {
            out.push_id(HeaderId::Upgrade, protocols);
        }
        out.push_id(HeaderId::Connection, b"Upgrade");
        return true;
    }
    // Servers of gRPC refuse a call without it.
    if exchange.grpc || from.has_id(HeaderId::Te) {
        out.push_id(HeaderId::Te, b"trailers");
        out.push_id(HeaderId::Connection, b"te");
    }
    false
}

/// Lets the trailers pass that may, and announces those that the client has announced.
#[cold]
pub(super) fn pass_trailers(proxy: &Proxy, exchange: &Exchange, (body, out): (&mut Body, &mut Headers)) {
    let which = match &proxy.trailers {
        Some(listed) if !exchange.grpc => Passing::listed(listed, &exchange.place),
        _ => Passing::all(&exchange.place),
    };
    let lines = exchange.request.headers.all_id(HeaderId::Trailer);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let announced: Vec<Vec<u8>> =
        names.map(<[u8]>::to_ascii_lowercase).filter(|name| which.passes(name)).collect();
    if !announced.is_empty() {
        out.push_id(HeaderId::Trailer, &announced.join(&b", "[..]));
    }
    body.pass_trailers(which, !announced.is_empty());
}
