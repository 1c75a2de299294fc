//! Exchanges for targets that judge what is read of a request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Version};
use portcullis::exchange::target::PathRules;
use portcullis::exchange::{
    Body, Client, CoreId, Exchange, Headers, Identity, Name, Param, Place, Record, Request, RequestId,
    Scheme, Target,
};

struct Names(Vec<Name>);

impl Place for Names {
    fn listener(&self) -> &str {
        "edge"
    }

    fn route(&self, _: Option<u32>) -> &str {
        "/users/{id}/*"
    }

    fn params(&self, _: Option<u32>) -> &[Name] {
        &self.0
    }

    fn upstream(&self, _: u32) -> &str {
        "users"
    }
}

/// A GET of this target, with `host` and these lines, from somebody known or from nobody.
pub fn exchange(target: &str, lines: Headers, identity: Option<Identity>) -> Exchange {
    let target = Target::parse(target.as_bytes(), PathRules::KEEP).expect("a target of ours").target;
    let (ip, now) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), Instant::now());
    let mut headers = Headers::new();
    headers.push_judged(b"host", b"API.example.com:8443");
    for (_, name, value) in lines.iter() {
        headers.push_judged(name, value);
    }
    // `/users/{id}/*`
    let path = target.path();
    let start = "/users/".len().min(path.len());
    let end = path[start..].find('/').map_or(path.len(), |length| start + length);
    Exchange {
        grpc: false,
        term: portcullis::exchange::Term::Head,
        interims: None,
        id: RequestId::Given("fuzz".into()),
        core: CoreId(0),
        client: Client { peer: SocketAddr::new(ip, 4000), ip, trusted: false, scheme: Scheme::Https },
        deadline: now,
        rest: end as u32,
        params: [Param { start: start as u32, end: end as u32 }].into_iter().collect(),
        request: Request {
            method: Method::GET,
            target,
            version: Version::HTTP_11,
            headers,
            body: Body::Empty,
        },
        identity: identity.map(Arc::new),
        rule: Some(0),
        place: Rc::new(Names(vec!["id".into()])),
        quotas: smallvec::SmallVec::new(),
        permits: Vec::new(),
        cached: None,
        record: Record::new(now),
    }
}
