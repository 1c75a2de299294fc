//! What one evaluation of an expression costs: in place, and in the interpreter.
#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{Method, Version};
use portcullis::exchange::target::{PathRules, Target};
use portcullis::exchange::{
    Body, Client, CoreId, Exchange, Headers, Identity, Name, Param, Place, Record, Request, RequestId, Scheme,
};
use portcullis::expression::{Expression, Place as Where, Scope, Template};

struct Names(Vec<Name>);

impl Place for Names {
    fn listener(&self) -> &str {
        "default"
    }

    fn route(&self, _: Option<u32>) -> &str {
        "/api/users/{userId}"
    }

    fn params(&self, _: Option<u32>) -> &[Name] {
        &self.0
    }

    fn upstream(&self, _: u32) -> &str {
        "users"
    }
}

fn exchange() -> Exchange {
    let target = Target::parse(b"/api/users/user-1042", PathRules::default()).expect("a valid target").target;
    let mut headers = Headers::new();
    headers.push_judged(b"host", b"api.example.com");
    headers.push_judged(b"accept", b"application/json");
    let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let identity = Identity {
        id: "user-1042".to_owned(),
        claims: serde_json::json!({"sub": "user-1042", "roles": ["dev", "admin"]}).into(),
        scopes: vec!["read".to_owned()],
        method: "jwt",
        headers: Vec::new(),
    };
    let now = Instant::now();
    Exchange {
        id: RequestId::Given("bench".into()),
        core: CoreId(0),
        client: Client { peer: SocketAddr::new(ip, 4000), ip, trusted: false, scheme: Scheme::Https },
        deadline: now,
        rest: target.path().len() as u32,
        params: smallvec::smallvec![Param { start: 11, end: target.path().len() as u32 }],
        request: Request {
            method: Method::GET,
            target,
            version: Version::HTTP_11,
            headers,
            body: Body::Empty,
        },
        grpc: false,
        term: portcullis::exchange::Term::Head,
        interims: None,
        identity: Some(Arc::new(identity)),
        rule: Some(0),
        place: Rc::new(Names(vec!["userId".into()])),
        quotas: Default::default(),
        permits: Vec::new(),
        cached: None,
        record: Record::new(now),
    }
}

fn evaluate(criterion: &mut Criterion) {
    let exchange = exchange();
    let scope = Scope { identity: true, params: vec!["userId".to_owned()], ..Scope::default() };
    for (name, text) in [
        ("in place: owner", "identity.id == params.userId"),
        ("in place: role", "'admin' in identity.claims.roles || identity.id == params.userId"),
        ("interpreter: exists", "identity.claims.roles.exists(role, role == 'admin')"),
    ] {
        let expression = Expression::compile(text, &scope).expect("a valid expression");
        criterion
            .bench_function(name, |bench| bench.iter(|| black_box(&expression).bool(black_box(&exchange))));
    }
    let key = Expression::compile("client.ip", &scope).expect("a valid expression");
    criterion.bench_function("in place: client.ip as text", |bench| {
        bench.iter(|| black_box(&key).text(black_box(&exchange)).map(|text| text.len()));
    });
    let path = Template::compile("/users/{userId}", &scope, Where::PathOrUrl).expect("a valid template");
    criterion.bench_function("template: a path", |bench| {
        bench.iter(|| black_box(&path).render(black_box(&exchange)).map(|text| text.len()));
    });
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
