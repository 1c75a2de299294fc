//! What a key has spent stays spent when its limit changes: by a tier that a token names, and by a reload; in memory and
//! in Redis. Windows and rates are so slow that nothing comes back while a test runs.

use serde_json::json;

use crate::redis::connected;
use crate::support::redis::Redis;
use crate::support::token::{self, SECRET, now};
use crate::support::{Answer, Client, Gateway, until};

const HOUR: u64 = 3600;
/// How much of a time may have passed since the permits were spent.
const SLACK: u64 = 60;

/// Where the budgets are: a name, and the line of the limit.
const STORES: [(&str, &str); 3] =
    [("memory", ""), ("redis", ", store: redis"), ("strict", ", store: redis, lease: none")];

/// A gateway that is connected to this Redis.
fn start(redis: &Redis, config: &str) -> Gateway {
    let gateway =
        Gateway::prepare(&[]).env("REDIS_URL", &redis.url()).env("SECRET", SECRET).start(&with_redis(config));
    connected(std::slice::from_ref(&gateway));
    gateway
}

fn with_redis(config: &str) -> String {
    format!(
        "redis: {{ url: '${{REDIS_URL}}', timeout: 5s }}\nadmin: {{ listen: 127.0.0.1:0 }}\n{}",
        config.trim_start()
    )
}

/// `limit=L, remaining=R, reset=S`.
#[track_caller]
fn numbers(answer: &Answer) -> (u64, u64, u64) {
    let line = answer.header("ratelimit").unwrap_or_else(|| panic!("RateLimit in {:?}", answer.headers));
    let number = |part: &str| part.split_once('=').unwrap().1.parse().unwrap();
    let parts: Vec<u64> = line.split(", ").map(number).collect();
    let [limit, remaining, reset] = parts.as_slice() else { panic!("{line}") };
    (*limit, *remaining, *reset)
}

/// Refused, and the time is this, less what has passed. A permit that a replica held counts at the end of its hold, at
/// most a second later.
#[track_caller]
fn refused(what: &str, answer: &Answer, wait: u64) {
    assert_eq!(answer.status, 429, "{what}: {:?}", answer.headers);
    let (_, remaining, reset) = numbers(answer);
    assert_eq!(remaining, 0, "{what}");
    assert!((wait.saturating_sub(SLACK)..=wait + 1).contains(&reset), "{what}: {reset} is not about {wait}");
    assert_eq!(answer.header("retry-after"), Some(reset.to_string().as_str()), "{what}");
}

/// Spends until so many were admitted. Permits that a replica holds come free within a second.
#[track_caller]
fn spend(what: &str, count: usize, mut ask: impl FnMut() -> Answer) {
    let mut admitted = 0;
    until(what, || {
        admitted += usize::from(ask().status == 200);
        admitted == count
    });
}

struct Tiers {
    algorithm: &'static str,
    /// The window, and the limits of the two tiers.
    window: &'static str,
    silver: u64,
    gold: u64,
    /// How many each tier admits at once.
    at_once: (usize, usize),
    /// How long each tier waits when it has spent all, in seconds.
    waits: (u64, u64),
}

/// The bucket has one burst for both tiers: a permit an hour, and one every six minutes.
const TIERS: [Tiers; 3] = [
    Tiers {
        algorithm: "token_bucket, burst: 50",
        window: "30d",
        silver: 720,
        gold: 7200,
        at_once: (50, 50),
        waits: (HOUR, HOUR / 10),
    },
    Tiers {
        algorithm: "sliding_window",
        window: "1h",
        silver: 5,
        gold: 50,
        at_once: (5, 50),
        waits: (HOUR, HOUR),
    },
    Tiers {
        algorithm: "fixed_window",
        window: "1h",
        silver: 5,
        gold: 50,
        at_once: (5, 50),
        waits: (HOUR, HOUR),
    },
];

#[test]
fn tiers_of_one_user_spend_one_budget() {
    let redis = Redis::start();
    let mut config = String::from("auth: { user: { jwt: { secret: '${SECRET}' } } }\nrate_limits:\n");
    let mut routes = String::from("routes:\n");
    for (at, tiers) in TIERS.iter().enumerate() {
        for (store, line) in STORES {
            let Tiers { algorithm, window, silver, gold, .. } = tiers;
            config.push_str(&format!(
                "  {store}-{at}: {{ key: identity.id, headers: [draft-7], window: {window}, algorithm: {algorithm}{line}, \
                 limit: [{{ when: 'identity.claims.tier == \"gold\"', limit: {gold} }}, {{ limit: {silver} }}] }}\n"
            ));
            routes.push_str(&format!(
                "  /{store}-{at}: {{ respond: {{ status: 200 }}, policies: {{ auth: user, rate_limit: {store}-{at} }} }}\n"
            ));
        }
    }
    let gateway = start(&redis, &format!("{config}{routes}"));
    let mut client = gateway.client();
    for (at, tiers) in TIERS.iter().enumerate() {
        for (store, _) in STORES {
            let target = format!("/{store}-{at}");
            let what = format!("{} in {store}", tiers.algorithm);
            let token = |user: &str, tier: &str| {
                let claims = json!({ "sub": user, "tier": tier, "exp": now() + 3000 });
                format!("Bearer {}", token::with_claims(&claims))
            };
            let mut ask = |user: &str, tier: &str| {
                client.request("GET", &target, &[("Authorization", &token(user, tier))], b"")
            };
            // From the slower tier to the faster one: what is left of it, and its own time.
            spend(&what, tiers.at_once.0, || ask("up", "silver"));
            let rest = tiers.at_once.1 - tiers.at_once.0;
            refused(&what, &ask("up", "silver"), tiers.waits.0);
            if rest > 0 {
                spend(&what, rest, || ask("up", "gold"));
            }
            for _ in 0..10 {
                refused(&what, &ask("up", "gold"), tiers.waits.1);
                refused(&what, &ask("up", "silver"), tiers.waits.0);
            }
            // From the faster one to the slower one: nothing more.
            spend(&what, tiers.at_once.1, || ask("down", "gold"));
            for _ in 0..10 {
                refused(&what, &ask("down", "silver"), tiers.waits.0);
            }
            refused(&what, &ask("down", "gold"), tiers.waits.1);
            // In turn: no more than the larger tier has.
            let turns = |turn: usize| if turn.is_multiple_of(2) { "gold" } else { "silver" };
            let mut admitted = 0;
            for turn in 0..150 {
                admitted += usize::from(ask("both", turns(turn)).status == 200);
            }
            assert!(admitted <= tiers.at_once.1, "{what}: {admitted}");
            // What a replica held while the tier changed comes back within a second.
            until(&what, || {
                admitted += usize::from(ask("both", "gold").status == 200);
                admitted == tiers.at_once.1
            });
            refused(&what, &ask("both", "gold"), tiers.waits.1);
        }
    }
}

/// What is expected of the request behind the reload.
#[derive(Clone, Copy)]
enum Then {
    /// Admitted, with so many left.
    Left(u64),
    /// Refused for about so many seconds.
    Refused(u64),
}

/// Limits before and after a reload, where 50 permits are spent before it.
const RELOADS: [(&str, &str, Then); 20] = [
    (BUCKET, "limit: 7200, window: 30d, algorithm: token_bucket, burst: 50", Then::Refused(HOUR / 10)),
    (BUCKET, "limit: 720, window: 3d, algorithm: token_bucket, burst: 50", Then::Refused(HOUR / 10)),
    (BUCKET, "limit: 720, window: 30d, algorithm: token_bucket, burst: 60", Then::Left(9)),
    (BUCKET, "limit: 720, window: 30d, algorithm: token_bucket, burst: 20", Then::Refused(31 * HOUR)),
    (BUCKET, "limit: 360, window: 30d, algorithm: token_bucket, burst: 50", Then::Refused(2 * HOUR)),
    (BUCKET, "limit: 60, window: 1h", Then::Left(9)),
    (BUCKET, "limit: 50, window: 1h, algorithm: fixed_window", Then::Refused(HOUR)),
    (
        BUCKET,
        "limit: 720, window: 30d, algorithm: token_bucket, burst: 50, max_keys: 100",
        Then::Refused(HOUR),
    ),
    (SLIDING, "limit: 60, window: 1h", Then::Left(9)),
    (SLIDING, "limit: 10, window: 1h", Then::Refused(HOUR)),
    (SLIDING, "limit: 50, window: 2h", Then::Refused(2 * HOUR)),
    (SLIDING, "limit: 50, window: 30m", Then::Refused(HOUR / 2)),
    (SLIDING, "limit: 50, window: 1h, algorithm: fixed_window", Then::Refused(HOUR)),
    (SLIDING, "limit: 720, window: 30d, algorithm: token_bucket, burst: 50", Then::Refused(HOUR)),
    (SLIDING, "limit: 50, window: 1h, max_keys: 100", Then::Refused(HOUR)),
    (FIXED, "limit: 60, window: 1h, algorithm: fixed_window", Then::Left(9)),
    (FIXED, "limit: 50, window: 2h, algorithm: fixed_window", Then::Refused(2 * HOUR)),
    (FIXED, "limit: 50, window: 30m, algorithm: fixed_window", Then::Refused(HOUR / 2)),
    (FIXED, "limit: 50, window: 1h", Then::Refused(HOUR)),
    (FIXED, "limit: 720, window: 30d, algorithm: token_bucket, burst: 50", Then::Refused(HOUR)),
];

const BUCKET: &str = "limit: 720, window: 30d, algorithm: token_bucket, burst: 50";
const SLIDING: &str = "limit: 50, window: 1h";
const FIXED: &str = "limit: 50, window: 1h, algorithm: fixed_window";

/// One limit and one route for each case and store.
fn cases(limit: impl Fn(usize) -> &'static str) -> String {
    let (mut limits, mut routes) = (String::from("rate_limits:\n"), String::from("routes:\n"));
    for at in 0..RELOADS.len() {
        for (store, line) in STORES {
            let body = limit(at);
            limits.push_str(&format!("  {store}-{at}: {{ headers: [draft-7], {body}{line} }}\n"));
            routes.push_str(&format!(
                "  /{store}-{at}: {{ respond: {{ status: 200 }}, policies: {{ rate_limit: {store}-{at} }} }}\n"
            ));
        }
    }
    format!("{limits}{routes}")
}

fn reload(gateway: &Gateway) -> u16 {
    Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"").status
}

#[test]
fn a_reload_leaves_what_is_spent_whatever_it_changes() {
    let redis = Redis::start();
    let gateway = start(&redis, &cases(|at| RELOADS[at].0));
    let mut client = gateway.client();
    for at in 0..RELOADS.len() {
        for (store, _) in STORES {
            spend(&format!("{store}-{at}"), 50, || client.get(&format!("/{store}-{at}")));
        }
    }
    gateway.replace_config(&with_redis(&cases(|at| RELOADS[at].1)));
    assert_eq!(reload(&gateway), 200);
    connected(std::slice::from_ref(&gateway));
    for (at, (before, after, then)) in RELOADS.iter().enumerate() {
        for (store, _) in STORES {
            let what = format!("from {before} to {after} in {store}");
            let answer = client.get(&format!("/{store}-{at}"));
            match then {
                Then::Left(left) => {
                    assert_eq!((answer.status, numbers(&answer).1), (200, *left), "{what}");
                }
                Then::Refused(wait) => {
                    refused(&what, &answer, *wait);
                    // The end does not move with those who are refused.
                    refused(&what, &client.get(&format!("/{store}-{at}")), numbers(&answer).2);
                }
            }
        }
    }
}

#[test]
fn a_reload_that_fails_changes_no_budget() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = |limit: &str, more: &str| {
        format!(
            "admin: {{ listen: 127.0.0.1:0 }}\nlisteners: {{ default: {{ listen: '127.0.0.1:0' }}{more} }}\n\
             rate_limits: {{ edge: {{ headers: [draft-7], {limit} }} }}\n\
             routes:\n  /x: {{ respond: {{ status: 200 }}, policies: {{ rate_limit: edge }} }}\n"
        )
    };
    let added =
        "  /added: { respond: { status: 200 }, policies: { rate_limit: { limit: 7, window: 1h } } }\n";
    let gateway = Gateway::start(&[], &config(SLIDING, ""));
    let mut client = gateway.client();
    spend("the budget", 50, || client.get("/x"));
    let more = format!(", more: {{ listen: '{}' }}", taken.local_addr().unwrap());
    gateway.replace_config(&(config("limit: 70, window: 1h, max_keys: 10", &more) + added));
    assert_eq!(reload(&gateway), 422, "the port is taken");
    let page =
        Client::connect(gateway.admin()).request("GET", "/metrics", &[("Host", "localhost")], b"").text();
    assert!(page.contains("edge") && !page.contains("added"), "no numbers of what is not in force: {page}");
    refused("after a reload that failed", &client.get("/x"), HOUR);
    gateway.replace_config(&config(SLIDING, ""));
    assert_eq!(reload(&gateway), 200);
    refused("after the next reload", &client.get("/x"), HOUR);
    gateway.replace_config(&config("limit: 70, window: 1h, max_keys: 10", ""));
    assert_eq!(reload(&gateway), 200);
    assert_eq!(numbers(&client.get("/x")), (70, 19, HOUR), "after one that succeeded");
}
