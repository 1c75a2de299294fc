//! How often a client may ask. Ids in comments are rows (L) and cases (s) of the catalogue of behaviour.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::token::{self, SECRET, now};
use crate::support::{Answer, Client, Gateway, Origin, h2};

/// `{ limit: ..., <the rest> }`, counted as all limits here are.
fn limit(limit: u64, window: &str, more: &str) -> String {
    format!("{{ limit: {limit}, window: {window}, algorithm: fixed_window, headers: [draft-7]{more} }}")
}

fn open(limit: &str) -> String {
    format!(
        "rate_limits: {{ edge: {limit} }}\npolicies: {{ rate_limit: edge }}\nroutes: {{ /api/*: {{ upstream: ORIGIN1 }} }}\n"
    )
}

/// The numbers of `limit=L, remaining=R, reset=S`; any other form fails the test.
#[track_caller]
fn told(answer: &Answer) -> (u64, u64, u64) {
    let line = answer.header("ratelimit").unwrap_or_else(|| panic!("RateLimit in {:?}", answer.headers));
    let numbers: Vec<u64> = line
        .split(", ")
        .zip(["limit=", "remaining=", "reset="])
        .map(|(part, name)| {
            part.strip_prefix(name).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line}"))
        })
        .collect();
    let [limit, remaining, reset] = numbers.as_slice() else { panic!("{line}") };
    assert_eq!(line, format!("limit={limit}, remaining={remaining}, reset={reset}"));
    (*limit, *remaining, *reset)
}

#[test]
fn the_hundredth_passes_and_the_next_is_429() {
    // L01, L02, L03, s-059
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(100, "60s", ", key: client.ip")));
    let mut client = gateway.client();
    let mut reset = 60;
    for number in 1..=103_u64 {
        let answer = client.get("/api/x");
        let (limit, remaining, left) = told(&answer);
        assert_eq!((limit, remaining), (100, 100_u64.saturating_sub(number)));
        assert!((1..=reset).contains(&left), "it counts down: {left} after {reset}");
        reset = left;
        assert_eq!(answer.header("ratelimit-policy"), Some("100;w=60"));
        if number <= 100 {
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
            assert!(!answer.headers.has("retry-after"));
        } else {
            assert_eq!(answer.problem(429), "rate limited");
            assert_eq!(answer.header("retry-after"), Some(left.to_string().as_str()), "s-060: they agree");
        }
    }
    assert_eq!(origin.count(), 100);
    let log = gateway.log(103);
    assert_eq!(log.iter().filter(|line| line["error"] == "rate limited").count(), 3);
}

#[test]
fn seconds_are_rounded_up() {
    // L06
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(1, "3599500ms", "")));
    let mut client = gateway.client();
    let first = client.get("/api/x");
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, Some("1;w=3600")));
    assert_eq!(told(&first), (1, 0, 3600));
    let second = client.get("/api/x");
    let (_, _, reset) = told(&second);
    assert!((1..=3600).contains(&reset));
    assert_eq!(second.header("retry-after"), Some(reset.to_string().as_str()));
}

#[test]
fn a_window_ends_and_a_new_one_begins() {
    // L07: polled, for nobody knows how long the machine takes.
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(1, "300ms", "")));
    let mut client = gateway.client();
    for _ in 0..3 {
        crate::support::until("a new window", || {
            let answer = client.get("/api/x");
            let (_, remaining, reset) = told(&answer);
            assert_eq!((remaining, reset), (0, 1), "never 0 while a window lasts");
            answer.status == 200
        });
    }
}

#[test]
fn exactly_the_limit_passes_whatever_the_number_of_connections() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(500, "600s", ", key: client.ip")));
    let (connections, each) = (32, 40);
    let admitted = AtomicUsize::new(0);
    let barrier = Barrier::new(connections);
    let mut remaining: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = gateway.client();
                    let mut left = Vec::new();
                    barrier.wait();
                    for _ in 0..each {
                        let answer = client.get("/api/x");
                        match answer.status {
                            200 => {
                                admitted.fetch_add(1, Ordering::Relaxed);
                                left.push(told(&answer).1);
                            }
                            429 => assert_eq!(told(&answer).1, 0),
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                    left
                })
            })
            .collect();
        for worker in workers {
            remaining.extend(worker.join().unwrap());
        }
    });
    assert_eq!(admitted.load(Ordering::Relaxed), 500);
    assert_eq!(origin.count(), 500);
    let distinct: BTreeSet<u64> = remaining.iter().copied().collect();
    assert_eq!(
        (distinct.len(), distinct.first(), distinct.last()),
        (500, Some(&0), Some(&499)),
        "each was told once"
    );
}

#[test]
fn streams_of_one_connection_are_counted_as_requests() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(5, "600s", "")));
    let mut statuses = h2::block_on(async {
        let session = h2::Session::connect(gateway.address()).await;
        let mut streams = Vec::new();
        for _ in 0..12 {
            streams.push(session.open(h2::request("GET", "/api/x", &[]), true).await.unwrap());
        }
        let mut statuses = Vec::new();
        for stream in streams {
            let whole = stream.whole().await.unwrap();
            assert!(whole.headers.contains_key("ratelimit"));
            statuses.push(whole.status);
        }
        statuses
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 5].as_slice(), &[429; 7]].concat());
    assert_eq!(origin.count(), 5);
}

#[test]
fn what_is_refused_later_is_counted_too() {
    // L08
    let origin = Origin::text("ok");
    let config = open(&limit(5, "600s", "")) + "auth: { user: { jwt: { secret: '${SECRET}' } } }\n";
    let config = config.replace("rate_limit: edge }", "rate_limit: edge, auth: user }");
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(&config);
    let mut client = gateway.client();
    let good = format!("Bearer {}", token::for_subject("alice"));
    let credentials: [&[(&str, &str)]; 5] = [
        &[],
        &[("Authorization", "Bearer bad")],
        &[("Authorization", &good)],
        &[],
        &[("Authorization", "Basic eDp5")],
    ];
    for (index, headers) in credentials.iter().enumerate() {
        let answer = client.request("GET", "/api/x", headers, b"");
        assert_eq!(answer.status, if index == 2 { 200 } else { 401 });
        assert_eq!(told(&answer).1, 4 - index as u64);
    }
    for headers in [credentials[0], credentials[2]] {
        assert_eq!(client.request("GET", "/api/x", headers, b"").problem(429), "rate limited");
    }
}

#[test]
fn every_method_and_every_miss_is_counted() {
    // L10
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(5, "600s", "")).replace("/api/*", "GET /api/*"));
    let mut client = gateway.client();
    let asked = [
        ("GET", "/nothing", 404),
        ("HEAD", "/api/x", 200),
        ("OPTIONS", "/api/x", 405),
        ("GET", "/api/x", 200),
    ];
    for (index, (method, target, status)) in asked.into_iter().enumerate() {
        let answer = client.request(method, target, &[], b"");
        assert_eq!((answer.status, told(&answer).1), (status, 4 - index as u64), "{method} {target}");
    }
    assert_eq!(client.request("POST", "/api/x", &[], b"").status, 405);
    assert_eq!(client.request("HEAD", "/api/x", &[], b"").status, 429);
    assert_eq!(client.get("/nothing").problem(429), "rate limited");
}

#[test]
fn a_route_may_stand_outside_the_limit() {
    // L11
    let origin = Origin::text("ok");
    let config = open(&limit(1, "600s", "")).replace(
        "routes: {",
        "routes: { /health: { respond: { status: 200, body: fine }, policies: { rate_limit: none } },",
    );
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    for _ in 0..5 {
        let answer = client.get("/health");
        assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
        assert!(!answer.headers.has("ratelimit") && !answer.headers.has("ratelimit-policy"));
    }
    assert_eq!(client.get("/api/x").status, 200);
    assert_eq!(client.get("/api/x").status, 429);
    assert_eq!(client.get("/health").status, 200);
}

#[test]
fn a_client_does_not_choose_its_address() {
    // L12, s-054
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &open(&limit(5, "600s", ", key: client.ip")));
    let mut client = gateway.client();
    let mut statuses = Vec::new();
    for number in 0..10 {
        let address = format!("198.51.100.{number}");
        let headers = [
            ("X-Forwarded-For", address.as_str()),
            ("X-Real-IP", address.as_str()),
            ("Forwarded", &format!("for={address}")),
        ];
        statuses.push(client.request("GET", "/api/x", &headers, b"").status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429, 429, 429]);
    assert_eq!(origin.count(), 5);
}

#[test]
fn a_trusted_proxy_tells_the_address() {
    // L13: the first from the right that is not trusted
    let origin = Origin::text("ok");
    let config = open(&limit(2, "600s", ", key: client.ip"))
        + "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n";
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    let mut ask =
        |forwarded: &str| client.request("GET", "/api/x", &[("X-Forwarded-For", forwarded)], b"").status;
    assert_eq!(ask("3.3.3.3, 1.1.1.1"), 200);
    assert_eq!(ask("4.4.4.4, 1.1.1.1, 10.1.2.3"), 200);
    assert_eq!(ask("1.1.1.1"), 429, "1.1.1.1 has spent its budget");
    assert_eq!(ask("1.1.1.1, 3.3.3.3"), 200, "3.3.3.3 has not");
}

#[test]
fn an_ipv6_client_is_its_network() {
    // L14, s-055
    let origin = Origin::text("ok");
    let config =
        open(&limit(3, "600s", ", key: client.ip")) + "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8]\n";
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    let mut ask =
        |address: &str| client.request("GET", "/api/x", &[("X-Forwarded-For", address)], b"").status;
    let statuses: Vec<u16> = (0..6).map(|n| ask(&format!("2001:db8:1:2::{n}"))).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(ask("2001:db8:1:ff::1"), 429, "the same /56");
    assert_eq!(ask("2001:db8:1:100::1"), 200, "another /56");
    assert_eq!(ask("2001:db8:2:2::1"), 200);
    for (address, status) in
        [("192.0.2.1", 200), ("::ffff:192.0.2.1", 200), ("192.0.2.1", 200), ("::ffff:192.0.2.1", 429)]
    {
        assert_eq!(ask(address), status, "{address}: mapped is IPv4");
    }
}

#[test]
fn a_narrower_network_may_be_chosen() {
    let origin = Origin::text("ok");
    let config = open(&limit(1, "600s", ", key: client.ip, ipv6_prefix: 128"))
        + "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.0/8]\n";
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    for (address, status) in [("2001:db8::1", 200), ("2001:db8::2", 200), ("2001:db8:0::1", 429)] {
        assert_eq!(client.request("GET", "/api/x", &[("X-Forwarded-For", address)], b"").status, status);
    }
}

#[test]
fn a_limit_in_place_is_the_places_own_and_a_named_one_is_shared() {
    // s-057
    let origin = Origin::text("ok");
    let three = limit(3, "600s", "");
    let config = format!(
        "
        rate_limits: {{ shared: {three} }}
        routes:
          /a/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: {three} }} }}
          /b/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: {three} }} }}
          /c/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: shared }} }}
          /d/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: shared }} }}
        "
    );
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    let mut remaining = |target: &str| {
        let answer = client.get(target);
        assert_eq!(answer.status, 200, "{target}");
        told(&answer).1
    };
    assert_eq!((remaining("/a/x"), remaining("/a/y"), remaining("/a/z")), (2, 1, 0));
    assert_eq!(remaining("/b/x"), 2);
    assert_eq!((remaining("/c/x"), remaining("/d/x"), remaining("/c/x")), (2, 1, 0));
    assert_eq!(client.get("/d/x").status, 429);
    assert_eq!(client.get("/a/x").status, 429);
}

#[test]
fn a_reload_moves_no_budget_of_a_limit_in_place() {
    let gateway = Gateway::start(&[], "routes: {}");
    let mut version = 1;
    let mut put = |lines: &[&str]| {
        let text = format!("admin: {{ listen: 127.0.0.1:0 }}\n{}\n", lines.join("\n"));
        gateway.replace_config(&text);
        version += 1;
        gateway.wait_stderr(&format!("reloaded: version {version} "));
    };
    let route = |key: &str, limits: &str| {
        format!("  {key}: {{ respond: {{ status: 204 }}, policies: {{ rate_limit: {limits} }} }}")
    };
    let two = limit(2, "600s", "");
    let spend = |target: &str| [(); 3].map(|()| gateway.get(target).status);
    let (a, b) = (route("/a", &two), route("/b", &two));
    put(&["routes:", &a, &b]);
    assert_eq!(spend("/a"), [204, 204, 429]);
    // On another line it is the same limit, and what stands on its line now is another.
    put(&["# moved", "", "routes:", &b, &a]);
    assert_eq!((gateway.get("/a").status, spend("/b")), (429, [204, 204, 429]));
    put(&["routes:", &b]);
    put(&["routes:", &a]);
    assert_eq!(gateway.get("/a").status, 429);
    // A larger limit and a longer window go on counting; a limit that counts by something else begins anew.
    put(&["routes:", &route("/a", &limit(3, "600s", ""))]);
    assert_eq!(gateway.get("/a").status, 204);
    put(&["routes:", &route("/a", &limit(2, "601s", ""))]);
    assert_eq!(spend("/a"), [429, 429, 429]);
    put(&["routes:", &route("/a", &limit(2, "601s", ", key: request.method"))]);
    assert_eq!(spend("/a"), [204, 204, 429]);
    put(&["routes:", &route("/a", &format!("[{two}, {}]", limit(9, "601s", "")))]);
    assert_eq!(told(&gateway.get("/a")).0, 2, "the strictest is told");
}

#[test]
fn keys_may_be_headers_and_identities() {
    let origin = Origin::text("ok");
    let config = format!(
        "
        auth: {{ user: {{ jwt: {{ secret: '${{SECRET}}' }} }} }}
        rate_limits:
          per_key: {}
          per_user: {}
          edge: {}
        routes:
          /header/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: per_key }} }}
          /user/*: {{ upstream: ORIGIN1, policies: {{ auth: user, rate_limit: [edge, per_user] }} }}
        ",
        limit(2, "600s", ", key: 'request.headers[\"x-api-key\"]'"),
        limit(2, "600s", ", key: identity.id"),
        limit(7, "600s", ", key: client.ip"),
    );
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(&config);
    let mut client = gateway.client();
    let mut keyed = |key: &str| client.request("GET", "/header/x", &[("X-Api-Key", key)], b"").status;
    assert_eq!(["a", "b", "a", "a", "b", "b"].map(&mut keyed), [200, 200, 200, 429, 200, 429]);
    // Without the key the address counts.
    let mut bare = || client.get("/header/x").status;
    assert_eq!([bare(), bare(), bare()], [200, 200, 429]);

    let credentials = |subject: &str| format!("Bearer {}", token::for_subject(subject));
    let mut ask =
        |subject: &str| client.request("GET", "/user/x", &[("Authorization", &credentials(subject))], b"");
    let first = ask("alice");
    assert_eq!(
        (first.status, told(&first).0, told(&first).1),
        (200, 2, 1),
        "the strictest is reported, once"
    );
    assert_eq!(ask("alice").status, 200);
    assert_eq!(ask("alice").problem(429), "rate limited");
    assert_eq!(ask("bob").status, 200, "another budget");
    let other = json!({ "sub": "bob", "exp": now() + 300, "jti": "another token" });
    let other = format!("Bearer {}", token::with_claims(&other));
    assert_eq!(
        client.request("GET", "/user/x", &[("Authorization", &other)], b"").status,
        200,
        "bob, whatever the token"
    );
    assert_eq!(client.get("/user/x").problem(401), "missing token");
    // Six by one address so far, for the refused one took nothing: one more, and the edge is spent. It stands before
    // who asks.
    assert_eq!(client.get("/user/x").status, 401);
    assert_eq!(client.get("/user/x").status, 401);
    let eighth = client.get("/user/x");
    assert_eq!(eighth.problem(429), "rate limited");
    assert_eq!(told(&eighth).0, 7);
}

#[test]
fn counters_outlive_a_reload() {
    let origin = Origin::text("ok");
    let config = open(&limit(4, "600s", "")) + "admin: { listen: 127.0.0.1:0 }\n";
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    let mut admin = Client::connect(gateway.admin());
    assert_eq!((told(&client.get("/api/x")).1, told(&client.get("/api/x")).1), (3, 2));
    gateway.replace_config(
        &(config.clone() + "upstreams: { more: { url: ORIGIN1 } }\n")
            .replace("/api/*: {", "/more: { upstream: more }, /api/*: {"),
    );
    assert_eq!(admin.request("POST", "/reload", &[("Host", "localhost")], b"").status, 200);
    assert_eq!(client.get("/more").status, 200, "the new configuration is in force");
    assert_eq!(told(&gateway.get("/api/x")).1, 0, "the same counter");
    assert_eq!(client.get("/api/x").status, 429);
    // Another limit under the name is another limit.
    gateway.replace_config(&config.replace("limit: 4", "limit: 9"));
    assert_eq!(admin.request("POST", "/reload", &[("Host", "localhost")], b"").status, 200);
    let answer = client.get("/api/x");
    assert_eq!((answer.status, told(&answer).0), (200, 9));
}
