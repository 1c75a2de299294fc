//! The limits of a rule, asked with a clock of the test's own and with stores that say what the test wants.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::*;
use crate::exchange::problem::problem;
use crate::expression::{Expression, Scope};
use crate::policy::chain::Chain;
use crate::policy::limit::headers::{FieldParts, Styles};
use crate::policy::limit::key::ClientIp;
use crate::policy::limit::rate_limit::{Missing, Settings};
use crate::policy::testing::{at_once, exchange};
use crate::store::memory::Memory;
use crate::store::{Algorithm, Clock, Limit, Store};
use crate::telemetry::metrics::Metrics;

mod styles;

const MINUTE: u64 = 60_000_000;
const EVERY: [Algorithm; 3] = [Algorithm::SlidingWindow, Algorithm::FixedWindow, Algorithm::TokenBucket];

struct Manual(Mutex<Instant>);

impl Manual {
    fn new() -> Arc<Manual> {
        Arc::new(Manual(Mutex::new(Instant::now())))
    }

    fn pass(&self, millis: u64) {
        *self.0.lock().unwrap() += Duration::from_millis(millis);
    }
}

impl Clock for Manual {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }
}

/// What a [`Fake`] says to every request.
#[derive(Clone, Copy)]
enum Says {
    Admitted(Source),
    Refused,
    Away,
}

/// A store elsewhere that always says the same, at once or after it was waited for, and remembers what it was told.
struct Fake {
    says: Says,
    waits: bool,
    asked: Mutex<u32>,
    back: Mutex<Vec<(u64, Ticket)>>,
}

const TICKET: Ticket = Ticket { at_us: 77, origin: 3 };

impl Fake {
    fn new(says: Says, waits: bool) -> Arc<Fake> {
        Arc::new(Fake { says, waits, asked: Mutex::default(), back: Mutex::default() })
    }

    fn given_back(&self) -> usize {
        self.back.lock().unwrap().len()
    }
}

impl Store for Fake {
    fn take<'a>(&'a self, _: &[u8], _: &Limit, _: u64) -> Taken<'a> {
        *self.asked.lock().unwrap() += 1;
        let decision = |admitted, source| {
            let (remaining, reset_us) = (if admitted { 8 } else { 0 }, 9_000_001);
            Ok(Decision { admitted, remaining, reset_us, possible: true, source, ticket: TICKET })
        };
        let said = match self.says {
            Says::Admitted(source) => decision(true, source),
            Says::Refused => decision(false, Source::Redis),
            Says::Away => Err(Unavailable("nobody answers".to_owned())),
        };
        if self.waits { Taken::Wait(Box::pin(async { said })) } else { Taken::Ready(said) }
    }

    fn give_back(&self, _: &[u8], _: &Limit, cost: u64, ticket: Ticket) {
        self.back.lock().unwrap().push((cost, ticket));
    }
}

fn memory(clock: &Arc<Manual>) -> Arc<dyn Store> {
    Arc::new(Memory::new(100, Arc::clone(clock) as Arc<dyn Clock>))
}

fn cel(text: &str) -> Option<Expression> {
    Some(Expression::compile(text, &Scope { identity: true, ..Scope::default() }).unwrap())
}

fn settings(name: &str, limit: u64, store: Arc<dyn Store>) -> Settings {
    let limit =
        Limit { algorithm: Algorithm::default(), limit, window_us: MINUTE, burst: limit, slowest: limit };
    Settings {
        name: name.into(),
        parts: FieldParts::new(Some(name), MINUTE),
        styles: Some(Styles::of(&[HeaderStyle::Draft8])),
        told_at: None,
        tiers: vec![(None, limit)],
        cost: None,
        skip: None,
        count: Count::All,
        key: None,
        address: ClientIp::default(),
        missing: Missing::ClientIp,
        status: StatusCode::TOO_MANY_REQUESTS,
        store,
        metrics: Metrics::new(1).limit(name),
        phase: Phase::LimitBefore,
    }
}

fn policy(settings: Settings) -> Arc<dyn Policy> {
    Arc::new(Limits::one(RateLimit::new(settings)))
}

fn chain(limits: impl IntoIterator<Item = Settings>) -> Chain {
    Chain::new(combine(limits.into_iter().map(policy).collect()))
}

/// Walks in and out as the pipeline does; an upstream answers with this status and these lines.
fn walk(chain: &Chain, exchange: &mut Exchange, status: u16, upstream: &[(&str, &str)]) -> Response {
    at_once(async {
        let (entered, early) = chain.inward(exchange).await;
        let mut answer = match early {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let mut answer = Response::new(StatusCode::from_u16(status).unwrap());
                for (name, value) in upstream {
                    answer.headers.append(name, value.as_bytes()).unwrap();
                }
                answer
            }
            Err(error) => {
                exchange.record.note(&error);
                problem(&error, "id")
            }
        };
        chain.outward(entered, exchange, &mut answer).await;
        answer
    })
}

fn ask(chain: &Chain) -> Response {
    walk(chain, &mut exchange(&[]), 200, &[])
}

fn field(answer: &Response, name: &str) -> String {
    let values: Vec<_> = answer.headers.all(name).map(String::from_utf8_lossy).collect();
    values.join(" | ")
}

/// The status, and name and remaining of each member of draft 8.
fn told(answer: &Response) -> (u16, Vec<String>) {
    let state = field(answer, "ratelimit");
    let member = |member: &str| member.split("; t=").next().unwrap_or_default().to_owned();
    let members = state.split(", ").filter(|text| !text.is_empty()).map(member).collect();
    (answer.status.as_u16(), members)
}

#[track_caller]
fn check(answer: &Response, status: u16, members: &[&str]) {
    assert_eq!(told(answer), (status, members.iter().map(|&member| member.to_owned()).collect()));
}

#[test]
fn a_permit_that_has_come_back_by_itself_is_not_given_back_again() {
    // erl-mw-15: the window is 50 ms, the answer takes 75.
    for algorithm in EVERY {
        let clock = Manual::new();
        let mut failed = settings("l", 2, memory(&clock));
        failed.count = Count::Failed;
        failed.tiers = vec![(None, Limit { algorithm, limit: 2, window_us: 50_000, burst: 2, slowest: 2 })];
        let chain = chain([failed]);
        let mut slow = exchange(&[]);
        assert!(at_once(chain.inward(&mut slow)).1.is_ok());
        clock.pass(75);
        check(&walk(&chain, &mut exchange(&[]), 404, &[]), 404, &["\"l\"; r=1"]);
        let mut answer = Response::new(StatusCode::OK);
        at_once(chain.outward(1, &mut slow, &mut answer));
        check(&walk(&chain, &mut exchange(&[]), 404, &[]), 404, &["\"l\"; r=0"]);
        assert_eq!(ask(&chain).status, 429, "{algorithm:?}");
    }
}

#[test]
fn what_one_refuses_the_others_keep() {
    for waits in [false, true] {
        let clock = Manual::new();
        let (yes, no) = (Fake::new(Says::Admitted(Source::Redis), waits), Fake::new(Says::Refused, waits));
        let one = settings("here", 5, memory(&clock));
        let chain = chain([one, settings("yes", 9, yes.clone()), settings("no", 9, no.clone())]);
        for _ in 0..2 {
            let answer = ask(&chain);
            // All are told, and none but the one that refuses has taken anything.
            check(&answer, 429, &["\"here\"; r=5", "\"yes\"; r=9", "\"no\"; r=0"]);
            assert_eq!(field(&answer, "retry-after"), "10", "rounded up");
        }
        assert_eq!(*yes.back.lock().unwrap(), [(1, TICKET); 2]);
        assert_eq!(no.given_back(), 0);
    }
}

#[test]
fn what_memory_refuses_goes_back_to_where_it_was_taken() {
    for waits in [false, true] {
        let clock = Manual::new();
        let yes = Fake::new(Says::Admitted(Source::Lease), waits);
        let chain = chain([settings("yes", 9, yes.clone()), settings("here", 1, memory(&clock))]);
        check(&ask(&chain), 200, &["\"yes\"; r=8", "\"here\"; r=0"]);
        assert_eq!(yes.given_back(), 0);
        check(&ask(&chain), 429, &["\"yes\"; r=9", "\"here\"; r=0"]);
        assert_eq!(*yes.back.lock().unwrap(), [(1, TICKET)]);
    }
}

#[test]
fn one_behind_a_refusal_elsewhere_is_not_asked() {
    for waits in [false, true] {
        let (no, last) = (Fake::new(Says::Refused, waits), Fake::new(Says::Admitted(Source::Redis), waits));
        check(
            &ask(&chain([settings("no", 9, no), settings("last", 9, last.clone())])),
            429,
            &["\"no\"; r=0"],
        );
        assert_eq!(*last.asked.lock().unwrap(), 0);
    }
}

#[test]
fn a_store_that_is_away_refuses_with_503_and_costs_the_others_nothing() {
    for waits in [false, true] {
        let clock = Manual::new();
        let store = memory(&clock);
        let (yes, away) = (Fake::new(Says::Admitted(Source::Redis), waits), Fake::new(Says::Away, waits));
        let limits = [settings("yes", 9, yes.clone()), settings("away", 9, away)];
        let refusing = chain(limits.into_iter().chain([settings("here", 5, Arc::clone(&store))]));
        let mut seen = exchange(&[]);
        check(&walk(&refusing, &mut seen, 200, &[]), 503, &[]);
        assert_eq!(seen.record.error, Some(ErrorKind::StoreUnavailable));
        assert_eq!(seen.record.source.as_deref(), Some("the limit away: nobody answers"));
        assert_eq!(*yes.back.lock().unwrap(), [(1, TICKET)]);
        check(&ask(&chain([settings("here", 5, store)])), 200, &["\"here\"; r=4"]);
    }
}

#[test]
fn nobodys_decision_claims_nothing() {
    let clock = Manual::new();
    let allow = || settings("away", 9, Fake::new(Says::Admitted(Source::Allow), false));
    check(&ask(&chain([allow()])), 200, &[]);
    check(&ask(&chain([allow(), settings("here", 5, memory(&clock))])), 200, &["\"here\"; r=4"]);
}

#[test]
fn a_limit_that_a_rule_names_twice_is_asked_once() {
    let clock = Manual::new();
    let limit = policy(settings("l", 5, memory(&clock)));
    let chain = Chain::new(combine(vec![Arc::clone(&limit), limit]));
    assert_eq!(chain.policies().count(), 1);
    check(&ask(&chain), 200, &["\"l\"; r=4"]);
}

#[test]
fn a_refusal_behind_auth_gives_back_what_stood_before_it_and_another_error_does_not() {
    let clock = Manual::new();
    let mut user = settings("user", 1, memory(&clock));
    user.phase = Phase::LimitAfter;
    let chain = chain([user, settings("edge", 9, memory(&clock))]);
    check(&ask(&chain), 200, &["\"edge\"; r=8", "\"user\"; r=0"]);
    for _ in 0..3 {
        check(&ask(&chain), 429, &["\"edge\"; r=8", "\"user\"; r=0"]);
    }
    // Whoever is refused between the two phases has spent.
    let mut refused = exchange(&[]);
    refused.record.note(&ErrorKind::InvalidToken.into());
    let policies: Vec<&dyn Policy> = chain.policies().collect();
    assert!(matches!(policies[0].on_request(&mut refused), Step::Continue));
    let mut answer = problem(&ErrorKind::InvalidToken.into(), "id");
    at_once(chain.outward(1, &mut refused, &mut answer));
    check(&answer, 401, &["\"edge\"; r=7"]);
    assert!(refused.permits.is_empty());
}

#[test]
fn a_client_that_leaves_gives_back_once_and_only_what_counts_successes() {
    for (count, left) in [(Count::Successful, "r=3"), (Count::Failed, "r=2"), (Count::All, "r=2")] {
        let clock = Manual::new();
        let mut limit = settings("l", 4, memory(&clock));
        limit.count = count;
        let chain = chain([limit]);
        let mut leaving = exchange(&[]);
        assert!(at_once(chain.inward(&mut leaving)).1.is_ok());
        chain.abandoned(&mut leaving);
        assert!(leaving.permits.is_empty());
        chain.abandoned(&mut leaving);
        // Whether the next one counts or not: it is looked at on its way in.
        let mut next = exchange(&[]);
        assert!(at_once(chain.inward(&mut next)).1.is_ok());
        assert_eq!(format!("r={}", next.quotas[0].remaining), left, "{count:?}");
    }
}

#[test]
fn nothing_is_held_where_nothing_can_go_back() {
    let clock = Manual::new();
    let chain = chain([settings("l", 4, memory(&clock))]);
    let mut exchange = exchange(&[]);
    assert!(at_once(chain.inward(&mut exchange)).1.is_ok());
    assert_eq!(exchange.permits.capacity(), 0);
}

#[test]
fn who_is_let_through_without_a_key_is_noted() {
    for (lines, why) in [
        (&[][..], "does not count this: "),
        (&[("x-key", "")][..], "the limit l does not count this: its key is empty"),
    ] {
        let clock = Manual::new();
        let mut limit = settings("l", 1, memory(&clock));
        (limit.key, limit.missing) = (cel("request.headers['x-key']"), Missing::Skip);
        let mut seen = exchange(lines);
        check(&walk(&chain([limit]), &mut seen, 200, &[]), 200, &[]);
        let note = seen.record.note.unwrap();
        assert!(note.contains(why), "{note}");
    }
}

#[test]
fn who_is_refused_without_a_key_is_told_so_and_takes_nothing() {
    let clock = Manual::new();
    let mut deny = settings("deny", 1, memory(&clock));
    (deny.key, deny.missing) = (cel("request.headers['x-key']"), Missing::Deny);
    let chain = chain([settings("edge", 5, memory(&clock)), deny]);
    let answer = ask(&chain);
    assert_eq!((answer.status.as_u16(), field(&answer, "retry-after")), (429, String::new()));
    let crate::exchange::Body::Bytes(body) = &answer.body else { panic!("a problem is bytes") };
    assert!(String::from_utf8_lossy(body).contains("The request lacks what its limit is counted by."));
    check(
        &walk(&chain, &mut exchange(&[("x-key", "k")]), 200, &[]),
        200,
        &["\"edge\"; r=4", "\"deny\"; r=0"],
    );
}

#[test]
fn the_partition_is_the_known_one() {
    let clock = Manual::new();
    let limit = RateLimit::new(settings("l", 1, memory(&clock)));
    assert_eq!(limit.partition(b"\0foo").as_ref(), Some(b"MmMyNmI0NmI2OGZm"));
    assert_eq!(limit.partition(&[2]), None, "shared by all: nothing to tell apart");
    let network = "2001:db8:1234:5600::1".parse().unwrap();
    let (mut address, mut text) = (smallvec::smallvec![1], smallvec::smallvec![0]);
    ClientIp::default().write(network, &mut address);
    text.extend_from_slice(b"2001:db8:1234:5600::/56");
    let text: crate::policy::limit::key::KeyBytes = text;
    assert_eq!(limit.partition(&address), limit.partition(&text));
}

#[test]
fn the_old_styles_tell_the_strictest() {
    let clock = Manual::new();
    let old = |name: &str, limit: u64, minutes: u64| {
        let window_us = minutes * MINUTE;
        let mut settings = settings(name, limit, memory(&clock));
        settings.parts = FieldParts::new(Some(name), window_us);
        settings.styles = Some(Styles::of(&[HeaderStyle::Draft7]));
        settings.tiers[0].1.window_us = window_us;
        settings
    };
    let chain = chain([old("wide", 9, 9), old("short", 2, 1), old("long", 2, 2)]);
    assert_eq!(field(&ask(&chain), "ratelimit"), "limit=2, remaining=1, reset=120");
    let answer = ask(&chain);
    assert_eq!(field(&answer, "ratelimit-policy"), "2;w=120");
    let refused = ask(&chain);
    assert_eq!((refused.status.as_u16(), field(&refused, "retry-after")), (429, "120".to_owned()));
    clock.pass(60_001);
    let refused = ask(&chain);
    assert_eq!(field(&refused, "ratelimit"), "limit=2, remaining=0, reset=60");
    assert_eq!(field(&refused, "retry-after"), "60", "rounded up, and the longest of them");
}

#[test]
fn fields_of_a_service_go_where_ours_stand() {
    let upstream = [
        ("RateLimit", "limit=1, remaining=1, reset=1"),
        ("RateLimit-Limit", "1"),
        ("RateLimit-Policy", "1;w=1"),
        ("X-RateLimit-Limit", "7"),
        ("X-RateLimit-Scope", "all"),
    ];
    let with = |styles: &[HeaderStyle]| {
        let mut limit = settings("l", 5, memory(&Manual::new()));
        limit.styles = Some(Styles::of(styles));
        let mut seen = exchange(&[]);
        let answer = walk(&chain([limit]), &mut seen, 200, &upstream);
        let fields = ["ratelimit", "ratelimit-limit", "x-ratelimit-limit", "x-ratelimit-scope"];
        (
            fields.map(|name| field(&answer, name)),
            field(&answer, "x-ratelimit-reset"),
            seen.quotas.first().map_or(0, |quota| quota.resets_at),
        )
    };
    let (fields, ..) = with(&[HeaderStyle::Draft7]);
    assert_eq!(fields, ["limit=5, remaining=4, reset=60", "", "7", "all"]);
    let before = headers::unix_time_in(MINUTE);
    let (fields, reset, resets_at) = with(&[HeaderStyle::Legacy]);
    assert_eq!(fields, ["", "", "5", ""]);
    assert!((before..=headers::unix_time_in(MINUTE)).contains(&resets_at));
    assert_eq!(reset, resets_at.to_string(), "as decided, however long the answer took");
    let (fields, ..) = with(&[]);
    assert_eq!(fields, ["limit=1, remaining=1, reset=1", "1", "7", "all"], "who tells nothing hides nothing");
}

#[test]
fn names_are_strings_of_structured_fields() {
    for (name, window_us, wanted) in [
        (Some("keep-kalm"), MINUTE, r#""keep-kalm""#),
        (Some("a\"b\\c"), MINUTE, r#""a\"b\\c""#),
        (Some("tab\tö"), MINUTE, "\"tab___\""),
        (None, 1, r#""5-in-1sec""#),
        (None, 1_500_000, r#""5-in-2sec""#),
        (None, 90_000_000, r#""5-in-90sec""#),
        (None, MINUTE, r#""5-in-1min""#),
        (None, 60 * MINUTE, r#""5-in-1hr""#),
        (None, 120 * MINUTE, r#""5-in-2hrs""#),
        (None, 1440 * MINUTE, r#""5-in-1day""#),
        (None, 2880 * MINUTE, r#""5-in-2days""#),
    ] {
        let mut limit = settings("l", 5, memory(&Manual::new()));
        limit.parts = FieldParts::new(name, window_us);
        let answer = ask(&chain([limit]));
        let told = field(&answer, "ratelimit");
        assert_eq!(told.split("; r=").next(), Some(wanted));
        assert!(field(&answer, "ratelimit-policy").starts_with(wanted));
    }
}
