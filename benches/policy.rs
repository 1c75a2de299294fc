//! What policies cost a request: the limiter with one key and many, a token fresh and known, and a whole chain.

use std::future::Future;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, StatusCode, Version};
use portcullis::exchange::{
    Body, Client, CoreId, Exchange, Headers, Name, Place, Record, Request, RequestId, Response, Scheme,
    Target, Term,
};
use portcullis::policy::authenticate::IdentityMap;
use portcullis::policy::authenticate::jwt::{Jwt, Settings};
use portcullis::policy::authorize::{Authorize, Condition, Rule};
use portcullis::policy::chain::Chain;
use portcullis::policy::limit::headers::{FieldParts, Styles};
use portcullis::policy::limit::rate_limit::{Count, Missing};
use portcullis::policy::limit::{self, ClientIp, HeaderStyle, Limits, RateLimit};
use portcullis::policy::{Phase, Policy};
use portcullis::store::memory::Memory;
use portcullis::store::{Algorithm, Limit, Store, SystemClock};
use portcullis::telemetry::metrics::LimitMetrics;
use smallvec::SmallVec;

const SECRET: &[u8] = b"thirty-two bytes of a shared secret";

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

struct Passes;

impl Policy for Passes {
    fn phase(&self) -> Phase {
        Phase::Authorize
    }
    fn kind(&self) -> &'static str {
        "passes"
    }
}

struct KnownUser;

impl Condition for KnownUser {
    fn holds(&self, exchange: &Exchange) -> Result<bool, String> {
        Ok(exchange.identity.as_ref().is_some_and(|identity| !identity.id.is_empty()))
    }
}

fn token(number: u64) -> String {
    let claims = format!(
        r#"{{"sub":"user-{number}","iss":"https://idp.test","aud":"portcullis","iat":1700000000,"exp":32503680000,"role":"admin"}}"#
    );
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let tag = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(SECRET)
        .expect("HMAC takes a key of any length")
        .chain_update(&message)
        .finalize();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.into_bytes()))
}

fn jwt() -> Jwt {
    let headers = [("x-user-id", "sub"), ("x-user-role", "role")];
    let headers = headers.map(|(name, claim)| (name.to_owned(), claim.to_owned()));
    Jwt::new(Settings {
        secret: SECRET.to_vec(),
        issuer: vec!["https://idp.test".to_owned()],
        audience: vec!["portcullis".to_owned()],
        identity: IdentityMap::new(headers).expect("both may be identity headers"),
        ..Settings::default()
    })
    .expect("the secret is long enough")
}

const EVERY: [Algorithm; 3] = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::TokenBucket];

fn per_minute(algorithm: Algorithm) -> Limit {
    Limit {
        algorithm,
        limit: 1_000_000_000,
        window_us: 60_000_000,
        burst: 1_000_000_000,
        slowest: 1_000_000_000,
    }
}

fn memory(max_keys: usize) -> Arc<Memory> {
    Arc::new(Memory::new(max_keys, Arc::new(SystemClock)))
}

fn rate_limit(style: HeaderStyle) -> Limits {
    Limits::one(RateLimit::new(limit::rate_limit::Settings {
        name: "per-client".into(),
        parts: FieldParts::new(Some("per-client"), 60_000_000),
        styles: Some(Styles::of(&[style])),
        told_at: None,
        tiers: vec![(None, per_minute(Algorithm::SlidingWindow))],
        cost: None,
        skip: None,
        count: Count::All,
        key: None,
        address: ClientIp::default(),
        missing: Missing::ClientIp,
        status: StatusCode::TOO_MANY_REQUESTS,
        store: memory(100_000),
        metrics: Arc::new(LimitMetrics::new(1)),
        phase: Phase::LimitBefore,
    }))
}

fn exchange(token: &str) -> Exchange {
    let mut headers = Headers::new();
    for (name, value) in [
        ("host", "gw.test"),
        ("user-agent", "bench/1.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("authorization", &format!("Bearer {token}")),
    ] {
        headers.append(name, value.as_bytes()).expect("a valid line");
    }
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now = Instant::now();
    Exchange {
        id: RequestId::Given("bench".into()),
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
        term: Term::Head,
        interims: None,
        identity: None,
        params: SmallVec::new(),
        rest: 0,
        rule: None,
        place: Rc::new(Nowhere),
        quotas: Default::default(),
        permits: Vec::new(),
        cached: None,
        record: Record::new(now),
    }
}

/// An answer with room for lines, as an upstream's is.
fn answer() -> Response {
    Response { headers: Headers::with_capacity(16, 512), ..Response::new(StatusCode::OK) }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn limiter(c: &mut Criterion) {
    for algorithm in EVERY {
        let limit = per_minute(algorithm);
        let one = memory(1_000_000);
        c.bench_function(&format!("{algorithm:?}, one key"), |b| {
            b.iter(|| drop(one.take(black_box(b"\0client-00000001"), &limit, 1)));
        });
        let mut next = 0u32;
        let mut key = || {
            // A stride without a pattern the prefetcher would know.
            next = (next + 61_803) % 100_000;
            let mut key = *b"\0client-00000000";
            key[12..].copy_from_slice(&next.to_be_bytes());
            key
        };
        let many = memory(1_000_000);
        c.bench_function(&format!("{algorithm:?}, 100k keys"), |b| {
            b.iter(|| drop(many.take(black_box(&key()), &limit, 1)));
        });
        let full = memory(50_000);
        c.bench_function(&format!("{algorithm:?}, full, 100k keys"), |b| {
            b.iter(|| drop(full.take(black_box(&key()), &limit, 1)));
        });
    }
    for style in [HeaderStyle::Draft7, HeaderStyle::Draft8] {
        let policy = rate_limit(style);
        let mut exchange = exchange("");
        c.bench_function(&format!("rate_limit, in and out, {style:?}"), |b| {
            b.iter(|| {
                exchange.quotas.clear();
                drop(policy.on_request(&mut exchange));
                let mut answer = answer();
                drop(policy.on_response(&mut exchange, &mut answer));
                answer
            });
        });
    }
}

fn authenticator(c: &mut Criterion) {
    let now = Duration::from_secs(1_700_000_001);
    let tokens: Vec<String> = (0..100_000).map(token).collect();
    let fresh = jwt();
    let mut next = 0;
    c.bench_function("jwt, fresh", |b| {
        b.iter(|| {
            next = (next + 1) % tokens.len();
            fresh.authenticate(black_box(tokens[next].as_bytes()), now)
        });
    });
    let known = jwt();
    c.bench_function("jwt, known", |b| {
        b.iter(|| known.authenticate(black_box(tokens[0].as_bytes()), now));
    });
    c.bench_function("jwt, one of 1000 known", |b| {
        b.iter(|| {
            next = (next + 619) % 1000;
            known.authenticate(black_box(tokens[next].as_bytes()), now)
        });
    });
    let mut exchange = exchange(&tokens[0]);
    c.bench_function("jwt, known, from the request", |b| {
        b.iter(|| drop(known.on_request(&mut exchange)));
    });
}

fn chain(c: &mut Criterion) {
    let rule = Rule { require: Box::new(KnownUser), reason: None };
    let chain = Chain::new(vec![
        Arc::new(rate_limit(HeaderStyle::Draft7)),
        Arc::new(jwt()),
        Arc::new(Authorize::new(vec![rule])),
    ]);
    let mut exchange = exchange(&token(1));
    c.bench_function("chain of limit, jwt, authorize, in and out", |b| {
        b.iter(|| {
            exchange.quotas.clear();
            at_once(async {
                let (entered, outcome) = chain.inward(&mut exchange).await;
                let mut answer = answer();
                chain.outward(entered, &mut exchange, &mut answer).await;
                (outcome.is_ok(), answer)
            })
        });
    });
    let passes = Chain::new((0..3).map(|_| Arc::new(Passes) as Arc<dyn Policy>).collect());
    c.bench_function("chain of three that do nothing, in and out", |b| {
        let mut answer = answer();
        b.iter(|| {
            at_once(async {
                let (entered, outcome) = passes.inward(&mut exchange).await;
                passes.outward(entered, &mut exchange, &mut answer).await;
                outcome.is_ok()
            })
        });
    });
    let empty = Chain::default();
    c.bench_function("empty chain", |b| b.iter(|| at_once(empty.inward(&mut exchange)).0));
}

criterion_group!(benches, limiter, authenticator, chain);
criterion_main!(benches);
