use std::sync::Mutex;
use std::task::Poll;
use std::time::Instant;

use super::*;
use crate::exchange::problem::problem;
use crate::policy::authenticate::jwt::{self, Jwt};
use crate::policy::chain::Chain;
use crate::policy::testing::{at_once, exchange, exchange_from};
use crate::store::memory::MemoryStore;

struct Manual(Mutex<Instant>);

impl Manual {
    fn new() -> Arc<Manual> {
        Arc::new(Manual(Mutex::new(Instant::now() + Duration::from_secs(1))))
    }

    fn advance(&self, millis: u64) {
        *self.0.lock().unwrap() += Duration::from_millis(millis);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

struct Header;

impl Key for Header {
    fn key(&self, exchange: &Exchange, out: &mut KeyBytes) -> KeyOutcome {
        out.extend_from_slice(b"half a key");
        let Some(value) = exchange.request.headers.get("x-key") else { return KeyOutcome::Missing(None) };
        out.extend_from_slice(value);
        KeyOutcome::Written
    }
}

fn settings(name: &str, limit: u64, millis: u64, store: &Arc<MemoryStore>, clock: &Arc<Manual>) -> Settings {
    Settings {
        name: name.into(),
        limit,
        window: Duration::from_millis(millis),
        key: Box::new(ClientIp::default()),
        address: ClientIp::default(),
        store: store.clone(),
        clock: clock.clone(),
        headers: vec![HeaderStyle::Draft7],
        phase: Phase::LimitBefore,
    }
}

fn chain(limits: Vec<Settings>) -> Chain {
    Chain::new(limits.into_iter().map(|limit| Arc::new(RateLimit::new(limit)) as Arc<dyn Policy>).collect())
}

/// Walks in and out as the pipeline does; an upstream answers with these lines.
fn walk(chain: &Chain, exchange: &mut Exchange, upstream: &[(&str, &str)]) -> Response {
    at_once(async {
        let (entered, early) = chain.inward(exchange).await;
        let mut answer = match early {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let mut answer = Response::new(http::StatusCode::OK);
                for (name, value) in upstream {
                    answer.headers.append(name, value.as_bytes()).unwrap();
                }
                answer
            }
            Err(error) => problem(&error, "id"),
        };
        chain.outward(entered, exchange, &mut answer).await;
        answer
    })
}

fn field(answer: &Response, name: &str) -> String {
    let values: Vec<_> = answer.headers.all(name).map(String::from_utf8_lossy).collect();
    values.join(" | ")
}

fn told(answer: &Response) -> (u16, String, String) {
    (answer.status.as_u16(), field(answer, "ratelimit-policy"), field(answer, "ratelimit"))
}

fn expected(status: u16, policy: &str, limit: &str) -> (u16, String, String) {
    (status, policy.to_owned(), limit.to_owned())
}

#[test]
fn the_fields_count_down_to_the_refusal_and_stand_on_it_too() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![settings("l", 100, 60_000, &store, &clock)]);
    let ask = || walk(&chain, &mut exchange(&[]), &[]);
    assert_eq!(told(&ask()), expected(200, "100;w=60", "limit=100, remaining=99, reset=60"));
    for _ in 0..98 {
        assert_eq!(ask().status, 200);
    }
    assert_eq!(told(&ask()), expected(200, "100;w=60", "limit=100, remaining=0, reset=60"));
    clock.advance(10_500);
    let refused = ask();
    assert_eq!(told(&refused), expected(429, "100;w=60", "limit=100, remaining=0, reset=50"));
    assert_eq!(field(&refused, "retry-after"), "50");
    clock.advance(49_499);
    assert_eq!(field(&ask(), "retry-after"), "1");
    clock.advance(1);
    assert_eq!(told(&ask()), expected(200, "100;w=60", "limit=100, remaining=99, reset=60"));
}

#[test]
fn seconds_are_rounded_up() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![settings("l", 1, 1500, &store, &clock)]);
    assert_eq!(
        told(&walk(&chain, &mut exchange(&[]), &[])),
        expected(200, "1;w=2", "limit=1, remaining=0, reset=2")
    );
    assert_eq!(field(&walk(&chain, &mut exchange(&[]), &[]), "retry-after"), "2");
}

#[test]
fn an_upstreams_own_fields_are_replaced() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![settings("l", 5, 60_000, &store, &clock)]);
    let upstream = [
        ("RateLimit", "limit=1, remaining=1, reset=1"),
        ("RateLimit-Limit", "1"),
        ("RateLimit-Policy", "1;w=1"),
        ("X-RateLimit-Limit", "7"),
    ];
    let answer = walk(&chain, &mut exchange(&[]), &upstream);
    assert_eq!(told(&answer), expected(200, "5;w=60", "limit=5, remaining=4, reset=60"));
    assert_eq!(field(&answer, "ratelimit-limit"), "");
    assert_eq!(field(&answer, "x-ratelimit-limit"), "7");
}

#[test]
fn of_several_limits_the_strictest_is_told_once() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![
        settings("wide", 100, 60_000, &store, &clock),
        settings("narrow", 2, 10_000, &store, &clock),
        settings("long", 2, 90_000, &store, &clock),
    ]);
    let ask = || told(&walk(&chain, &mut exchange(&[]), &[]));
    assert_eq!(ask(), expected(200, "2;w=90", "limit=2, remaining=1, reset=90"));
    assert_eq!(ask(), expected(200, "2;w=90", "limit=2, remaining=0, reset=90"));
    assert_eq!(ask(), expected(429, "2;w=10", "limit=2, remaining=0, reset=10"), "the third was not asked");
}

#[test]
fn retry_after_and_reset_agree_also_when_an_earlier_limit_is_spent_for_longer() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![
        settings("long", 2, 90_000, &store, &clock),
        settings("short", 1, 10_000, &store, &clock),
    ]);
    walk(&chain, &mut exchange(&[]), &[]);
    let refused = walk(&chain, &mut exchange(&[]), &[]);
    assert_eq!(told(&refused), expected(429, "2;w=90", "limit=2, remaining=0, reset=90"));
    assert_eq!(field(&refused, "retry-after"), "90");
}

#[test]
fn limits_of_different_names_share_nothing_and_of_one_name_everything() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let a = chain(vec![settings("routes:/a/*", 3, 60_000, &store, &clock)]);
    let b = chain(vec![settings("routes:/b/*", 3, 60_000, &store, &clock)]);
    let again = chain(vec![settings("routes:/a/*", 3, 60_000, &store, &clock)]);
    for _ in 0..3 {
        walk(&a, &mut exchange(&[]), &[]);
    }
    assert_eq!(
        told(&walk(&b, &mut exchange(&[]), &[])),
        expected(200, "3;w=60", "limit=3, remaining=2, reset=60")
    );
    assert_eq!(walk(&again, &mut exchange(&[]), &[]).status, 429);
}

#[test]
fn clients_have_budgets_of_their_own_and_an_ipv6_network_has_one() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![settings("l", 1, 60_000, &store, &clock)]);
    let ask = |ip| walk(&chain, &mut exchange_from(ip, &[]), &[]).status.as_u16();
    assert_eq!(ask("192.0.2.1"), 200);
    assert_eq!(ask("192.0.2.2"), 200);
    assert_eq!(ask("::ffff:192.0.2.1"), 429);
    assert_eq!(ask("2001:db8::1"), 200);
    assert_eq!(ask("2001:db8:0:ff::1"), 429);
    assert_eq!(ask("2001:db8:0:100::1"), 200);
}

#[test]
fn without_its_key_a_request_is_counted_by_address_and_meets_no_key_of_that_text() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let by_header = Settings { key: Box::new(Header), ..settings("l", 1, 60_000, &store, &clock) };
    let chain = chain(vec![by_header]);
    let ask = |lines: &[(&str, &str)]| walk(&chain, &mut exchange(lines), &[]).status.as_u16();
    assert_eq!(ask(&[("x-key", "a")]), 200);
    assert_eq!(ask(&[("x-key", "a")]), 429);
    assert_eq!(ask(&[("x-key", "b")]), 200);
    assert_eq!(ask(&[]), 200);
    assert_eq!(ask(&[]), 429);
    assert_eq!(walk(&chain, &mut exchange_from("192.0.2.9", &[]), &[]).status, 200);
}

#[test]
fn a_limit_that_tells_nothing_leaves_the_answer_alone() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let chain = chain(vec![Settings { headers: vec![], ..settings("l", 1, 1000, &store, &clock) }]);
    let answer = walk(&chain, &mut exchange(&[]), &[("ratelimit", "theirs")]);
    assert_eq!(field(&answer, "ratelimit"), "theirs");
    let refused = walk(&chain, &mut exchange(&[]), &[]);
    assert_eq!((field(&refused, "ratelimit").as_str(), field(&refused, "retry-after").as_str()), ("", "1"));
}

#[test]
fn before_authentication_a_refused_caller_spends_too_and_is_told_what_is_left() {
    let (store, clock) = (Arc::new(MemoryStore::new(100)), Manual::new());
    let jwt = Jwt::new(jwt::Settings { secret: vec![b'k'; 32], ..jwt::Settings::default() }).unwrap();
    let limit = RateLimit::new(settings("l", 2, 60_000, &store, &clock));
    let chain = Chain::new(vec![Arc::new(jwt), Arc::new(limit)]);
    let ask = |lines: &[(&str, &str)]| told(&walk(&chain, &mut exchange(lines), &[]));
    assert_eq!(ask(&[]), expected(401, "2;w=60", "limit=2, remaining=1, reset=60"));
    let bad = [("authorization", "Bearer bad")];
    assert_eq!(ask(&bad), expected(401, "2;w=60", "limit=2, remaining=0, reset=60"));
    assert_eq!(ask(&bad), expected(429, "2;w=60", "limit=2, remaining=0, reset=60"));
}

/// A store that answers at the second poll.
struct Slow(Result<Decision, String>);

impl Store for Slow {
    fn take<'a>(&'a self, _: &[u8], _: Limit, _: &'a dyn Clock) -> Taken<'a> {
        let mut polled = false;
        Taken::Wait(Box::pin(std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(self.0.clone());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })))
    }
}

fn waited(outcome: Result<Decision, String>) -> (Result<(), ErrorKind>, Option<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let memory = Arc::new(MemoryStore::new(1));
    let limit = RateLimit::new(Settings {
        store: Arc::new(Slow(outcome)),
        ..settings("l", 9, 1000, &memory, &Manual::new())
    });
    let chain = Chain::new(vec![Arc::new(limit)]);
    let mut exchange = exchange(&[]);
    let (entered, result) = runtime.block_on(chain.inward(&mut exchange));
    assert_eq!(entered, 1);
    let result = result.map(|early| assert!(early.is_none())).map_err(|error| error.kind());
    (result, exchange.quota.map(|quota| quota.remaining))
}

#[test]
fn a_store_that_waits_decides_the_same_and_one_that_is_away_never_opens() {
    let decision = |admitted, remaining| Decision { admitted, remaining, reset_ms: 10 };
    assert_eq!(waited(Ok(decision(true, 4))), (Ok(()), Some(4)));
    assert_eq!(waited(Ok(decision(false, 0))), (Err(ErrorKind::RateLimited), Some(0)));
    assert_eq!(waited(Err("away".into())), (Err(ErrorKind::Overloaded), None));
}
