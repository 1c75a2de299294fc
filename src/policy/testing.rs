//! An exchange to try policies on, and futures that are run where they stand.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http::{Method, Version};
use smallvec::SmallVec;

use crate::exchange::{
    Body, Client, CoreId, Exchange, Headers, Name, Place, Record, Request, RequestId, Scheme, Target,
};

struct Nowhere;

impl Place for Nowhere {
    fn listener(&self) -> &str {
        "default"
    }
    fn route(&self, _: Option<u32>) -> &str {
        ""
    }
    fn params(&self, _: Option<u32>) -> &[Name] {
        &[]
    }
    fn upstream(&self, _: u32) -> &str {
        ""
    }
}

/// A `GET` from 192.0.2.1 with these header lines.
pub(super) fn exchange(lines: &[(&str, &str)]) -> Exchange {
    exchange_from("192.0.2.1", lines)
}

/// As [`exchange`], from this address.
pub(super) fn exchange_from(ip: &str, lines: &[(&str, &str)]) -> Exchange {
    let ip: IpAddr = ip.parse().unwrap();
    let mut headers = Headers::new();
    headers.append("host", b"gw.test").unwrap();
    for (name, value) in lines {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let now = Instant::now();
    Exchange {
        id: RequestId::Given("test".into()),
        core: CoreId(0),
        client: Client { peer: SocketAddr::new(ip, 4000), ip, trusted: false, scheme: Scheme::Http },
        deadline: now + Duration::from_secs(30),
        request: Request {
            method: Method::GET,
            target: Target::default(),
            version: Version::HTTP_11,
            headers,
            body: Body::Empty,
        },
        grpc: false,
        term: crate::exchange::Term::Head,
        interims: None,
        identity: None,
        params: SmallVec::new(),
        rest: 0,
        rule: None,
        place: Rc::new(Nowhere),
        quotas: SmallVec::new(),
        permits: Vec::new(),
        cached: None,
        record: Record::new(now),
    }
}

/// Polls once: what a policy decides at once needs no runtime.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it had to be waited for"),
    }
}
