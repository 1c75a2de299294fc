//! Exchanges for tests, made of what the test cares about.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Version};

use super::target::PathRules;
use super::{
    Body, Client, CoreId, Exchange, Headers, Identity, Name, Param, Place, Record, Request, RequestId,
    Scheme, Target,
};

/// Names for every number: the listener `edge`, the route and the upstream as told.
pub(crate) struct Names {
    /// The name of whatever rule.
    pub(crate) route: String,
    /// The names of its path parameters.
    pub(crate) params: Vec<Name>,
}

impl Place for Names {
    fn listener(&self) -> &str {
        "edge"
    }

    fn route(&self, _: Option<u32>) -> &str {
        &self.route
    }

    fn params(&self, _: Option<u32>) -> &[Name] {
        &self.params
    }

    fn upstream(&self, _: u32) -> &str {
        "upstream"
    }
}

/// Builds an [`Exchange`].
pub(crate) struct Builder {
    exchange: Exchange,
    params: Vec<Name>,
}

impl Builder {
    /// A GET of this target (`%2F` is kept) from 192.0.2.1 over TLS, with `host: api.example.com` and nothing else.
    pub(crate) fn get(target: &str) -> Builder {
        let rules = PathRules::KEEP;
        let target = Target::parse(target.as_bytes(), rules).expect("a test's target is valid").target;
        let mut headers = Headers::new();
        headers.push_judged(b"host", b"api.example.com");
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let now = Instant::now();
        Builder {
            exchange: Exchange {
                id: RequestId::Given("test".into()),
                core: CoreId(0),
                client: Client { peer: SocketAddr::new(ip, 4000), ip, trusted: false, scheme: Scheme::Https },
                deadline: now + Duration::from_secs(30),
                rest: target.path().len() as u32,
                request: Request {
                    method: Method::GET,
                    target,
                    version: Version::HTTP_11,
                    headers,
                    body: Body::Empty,
                },
                grpc: false,
                term: super::Term::Head,
                interims: None,
                identity: None,
                params: smallvec::SmallVec::new(),
                rule: Some(0),
                place: Rc::new(Names { route: "/test".to_owned(), params: Vec::new() }),
                quotas: smallvec::SmallVec::new(),
                permits: Vec::new(),
                cached: None,
                record: Record::new(now),
            },
            params: Vec::new(),
        }
    }

    /// Another method.
    pub(crate) fn method(mut self, method: Method) -> Builder {
        self.exchange.request.method = method;
        self
    }

    /// One more header line; a second `host` replaces the first.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Builder {
        if name.eq_ignore_ascii_case("host") {
            self.exchange.request.headers.remove("host");
        }
        self.exchange.request.headers.push_judged(name.as_bytes(), value.as_ref());
        self
    }

    /// A path parameter: the path's segment of that index, from 0.
    pub(crate) fn param(mut self, name: &str, segment: usize) -> Builder {
        let path = self.exchange.request.target.path();
        let mut start = 1;
        for part in path[1..].split('/').take(segment) {
            start += part.len() + 1;
        }
        let end = path[start..].find('/').map_or(path.len(), |length| start + length);
        self.exchange.params.push(Param { start: start as u32, end: end as u32 });
        self.params.push(name.into());
        self
    }

    /// What `*` matched begins at this byte of the path.
    pub(crate) fn rest(mut self, from: usize) -> Builder {
        self.exchange.rest = from as u32;
        self
    }

    /// Somebody known by this id, with these claims and scopes.
    pub(crate) fn identity(
        mut self,
        id: &str,
        claims: impl Into<super::JsonValue>,
        scopes: &[&str],
    ) -> Builder {
        self.exchange.identity = Some(Arc::new(Identity {
            id: id.to_owned(),
            claims: claims.into(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            method: "jwt",
            headers: Vec::new(),
        }));
        self
    }

    /// From this address.
    pub(crate) fn client(mut self, ip: IpAddr) -> Builder {
        self.exchange.client.ip = ip;
        self
    }

    /// The exchange.
    pub(crate) fn build(mut self) -> Exchange {
        self.exchange.place = Rc::new(Names { route: "/test".to_owned(), params: self.params });
        self.exchange
    }
}
