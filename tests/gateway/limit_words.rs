//! What a limit may say: styles of header, tiers, costs, outcomes, absent keys, several limits. Ids in comments are facts
//! (erl), rows (L) and cases (s) of the catalogue of behaviour.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::token::{self, SECRET};
use crate::support::{Answer, Client, Gateway, Origin, until};

fn guarded(limits: &str, policies: &str) -> String {
    format!(
        "rate_limits:\n{limits}\npolicies: {{ {policies} }}\nroutes: {{ /api/*: {{ upstream: ORIGIN1, rewrite: / }} }}\n"
    )
}

/// One limit `edge` of these words, on every route.
fn edge(words: &str) -> String {
    guarded(&format!("  edge: {{ {words} }}"), "rate_limit: edge")
}

fn statuses<const N: usize>(client: &mut Client, targets: [&str; N]) -> [u16; N] {
    targets.map(|target| client.get(target).status)
}

/// An item of a list of RFC 9651: its string, and its parameters as text.
type Item = (String, BTreeMap<String, String>);

/// Reads a List of Strings with parameters, by the grammar of RFC 9651 and by nothing of the gate's.
fn list(text: &str) -> Vec<Item> {
    let mut rest = text;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let end = rest[1..].find('"').expect("a String") + 1;
        assert!(
            rest.starts_with('"') && rest[1..end].bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{text}"
        );
        let name = rest[1..end].to_owned();
        rest = &rest[end + 1..];
        let mut parameters = BTreeMap::new();
        while let Some(more) = rest.strip_prefix(';') {
            let more = more.trim_start_matches(' ');
            let end = more.find([';', ',']).unwrap_or(more.len());
            let (key, value) = more[..end].split_once('=').expect("a parameter");
            assert!(key.bytes().all(|byte| byte.is_ascii_lowercase()), "{text}");
            let value = value.trim_end();
            let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            assert!(number || (value.len() > 2 && value.starts_with(':') && value.ends_with(':')), "{text}");
            parameters.insert(key.to_owned(), value.to_owned());
            rest = &more[end..];
        }
        items.push((name, parameters));
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return items,
            None => panic!("{text}"),
        }
    }
}

/// The members of draft 8, by name: remaining and reset, after quota and window were compared.
#[track_caller]
fn members(answer: &Answer) -> Vec<(String, u64, u64)> {
    let (policy, state) = (answer.header("ratelimit-policy").unwrap(), answer.header("ratelimit").unwrap());
    let names = |items: &[Item]| items.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (policy, state) = (list(policy), list(state));
    assert_eq!(names(&policy), names(&state), "both in the same order");
    let number = |of: &BTreeMap<String, String>, key: &str| of[key].parse::<u64>().unwrap();
    state.iter().map(|(name, of)| (name.clone(), number(of, "r"), number(of, "t"))).collect()
}

#[test]
fn draft_8_is_the_default_and_exact_to_the_letter() {
    // erl-head-04, erl-head-06, L05: the key foo, whose partition is known.
    let origin = Origin::text("ok");
    let key = "key: 'request.headers[\"x-key\"]'";
    let limits = format!("  keep-kalm: {{ limit: 5, window: 2h, {key} }}");
    let gateway = Gateway::start(&[&origin], &guarded(&limits, "rate_limit: keep-kalm"));
    let mut client = gateway.client();
    let first = client.request("GET", "/api/x", &[("X-Key", "foo")], b"");
    assert_eq!(
        (first.header("ratelimit-policy"), first.header("ratelimit")),
        (Some("\"keep-kalm\"; q=5; w=7200; pk=:MmMyNmI0NmI2OGZm:"), Some("\"keep-kalm\"; r=4; t=7200"))
    );
    assert!(!first.headers.has("retry-after"), "erl-mw-12");
    for left in [3, 2, 1, 0] {
        let answer = client.request("GET", "/api/x", &[("X-Key", "foo")], b"");
        assert_eq!((answer.status, members(&answer)[0].1), (200, left));
    }
    let refused = client.request("GET", "/api/x", &[("X-Key", "foo")], b"");
    let (_, left, reset) = members(&refused)[0].clone();
    assert_eq!(refused.problem(429), "rate limited");
    assert_eq!((left, refused.header("retry-after")), (0, Some(reset.to_string().as_str())));
}

#[test]
fn limits_without_a_name_are_called_by_what_they_are_and_all_are_told_in_order() {
    // erl-head-05
    let origin = Origin::text("ok");
    let limits =
        ["limit: 1, window: 5s", "limit: 5, window: 1m", "limit: 6, window: 1h", "limit: 7, window: 1d"];
    let limits: Vec<String> = limits.iter().map(|limit| format!("{{ {limit} }}")).collect();
    let config = format!(
        "routes: {{ /api/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: [{}, {{ limit: 8, window: 2d }}] }} }} }}\n",
        limits.join(", ")
    );
    let gateway = Gateway::start(&[&origin], &config);
    let told = members(&gateway.get("/api/x"));
    let wanted = [
        ("1-in-5sec", 0, 5),
        ("5-in-1min", 4, 60),
        ("6-in-1hr", 5, 3600),
        ("7-in-1day", 6, 86_400),
        ("8-in-2days", 7, 172_800),
    ];
    assert_eq!(told, wanted.map(|(name, left, reset)| (name.to_owned(), left, reset)));
    let refused = gateway.get("/api/x");
    assert_eq!(refused.status, 429);
    let left: Vec<u64> = members(&refused).iter().map(|(_, left, _)| *left).collect();
    assert_eq!(left, [0, 4, 5, 6, 7], "the one that refuses takes nothing from the others");
}

#[test]
fn the_old_styles_are_exact_and_may_be_mixed() {
    // erl-head-01, erl-head-02, erl-head-03, L01, L04
    let origin = Origin::text("ok");
    let words = "limit: 5, window: 60s, headers: [legacy, draft-6, draft-7]";
    let gateway = Gateway::start(&[&origin], &edge(words));
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let answer = gateway.get("/api/x");
    for (name, value) in [
        ("ratelimit", "limit=5, remaining=4, reset=60"),
        ("ratelimit-policy", "5;w=60"),
        ("ratelimit-limit", "5"),
        ("ratelimit-remaining", "4"),
        ("ratelimit-reset", "60"),
        ("x-ratelimit-limit", "5"),
        ("x-ratelimit-remaining", "4"),
    ] {
        assert_eq!(answer.headers.all(name), [value], "{name}");
    }
    let reset: u64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((before + 60..=after + 62).contains(&reset), "{reset} at {before}");
    assert!(answer.headers.has("date"));
}

#[test]
fn who_is_told_nothing_is_not_told_when_to_come_back() {
    // erl-head-08
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &edge("limit: 1, window: 60s, headers: []"));
    assert_eq!(gateway.get("/api/x").status, 200);
    let refused = gateway.get("/api/x");
    assert_eq!(refused.problem(429), "rate limited");
    assert!(!refused.headers.has("retry-after") && !refused.headers.has("ratelimit"));
}

#[test]
fn equal_limits_of_two_places_have_counters_of_their_own() {
    // s-057
    let origin = Origin::text("ok");
    let limit = "{ limit: 3, window: 60s, key: client.ip, headers: [draft-7] }";
    let config = format!(
        "routes:\n  /a/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: {limit} }} }}\n  /b/*: {{ upstream: ORIGIN1, policies: {{ rate_limit: {limit} }} }}\n"
    );
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    assert_eq!(statuses(&mut client, ["/a/x", "/a/x", "/a/x"]), [200; 3]);
    assert_eq!(client.get("/b/x").header("ratelimit"), Some("limit=3, remaining=2, reset=60"));
}

#[test]
fn addresses_in_one_network_share_a_budget_and_untrusted_words_count_nothing() {
    // s-054, s-055
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &edge("limit: 5, window: 60s"));
    let mut client = gateway.client();
    let from = |client: &mut Client, ip: String| {
        client.request("GET", "/api/x", &[("X-Forwarded-For", &ip)], b"").status
    };
    let told: Vec<u16> = (0..10).map(|n| from(&mut client, format!("198.51.100.{n}"))).collect();
    assert_eq!(told, [200, 200, 200, 200, 200, 429, 429, 429, 429, 429]);

    let config = edge("limit: 3, window: 60s") + "trusted_proxies: [127.0.0.0/8]\n";
    let gateway = Gateway::start(&[&origin], &config);
    let mut client = gateway.client();
    let told: Vec<u16> = (0..6).map(|n| from(&mut client, format!("2001:db8:1:2::{n}"))).collect();
    assert_eq!(told, [200, 200, 200, 429, 429, 429]);
    assert_eq!(from(&mut client, "2001:db8:2:2::1".to_owned()), 200);
    // erl-ip-03, erl-ip-04: IPv4 in IPv6 is IPv4.
    let same = ["::ffff:192.0.2.1", "192.0.2.1", "::192.0.2.1", "192.0.2.1"];
    assert_eq!(same.map(|ip| from(&mut client, ip.to_owned())), [200, 200, 200, 429]);
}

#[test]
fn tiers_are_tried_in_order_and_one_that_cannot_be_read_is_passed_over() {
    let origin = Origin::text("ok");
    let words = "window: 60s, key: client.ip, limit: [{ when: 'request.headers[\"x-tier\"] == \"gold\"', limit: 4 }, { limit: 2 }]";
    let gateway = Gateway::start(&[&origin], &edge(words));
    let mut client = gateway.client();
    let gold = |client: &mut Client| client.request("GET", "/api/x", &[("X-Tier", "gold")], b"");
    assert_eq!(statuses(&mut client, ["/api/x", "/api/x", "/api/x"]), [200, 200, 429], "no header: an error");
    let third = gold(&mut client);
    assert_eq!((third.status, members(&third)[0].1), (200, 1), "what was spent stays spent");
    assert!(third.header("ratelimit-policy").unwrap().contains("q=4"));
    assert_eq!([gold(&mut client).status, gold(&mut client).status], [200, 429]);
}

#[test]
fn a_request_may_cost_more_or_nothing_and_nonsense_costs_one() {
    let origin = Origin::text("ok");
    let words = "limit: 10, window: 60s, cost: 'double(request.headers[\"x-cost\"])'";
    let gateway = Gateway::start(&[&origin], &edge(words));
    let mut client = gateway.client();
    let mut costs = |cost: &str| {
        let answer = client.request("GET", "/api/x", &[("X-Cost", cost)], b"");
        (answer.status, members(&answer)[0].1, answer.headers.has("retry-after"))
    };
    assert_eq!(costs("3"), (200, 7, false));
    assert_eq!(costs("0"), (200, 7, false));
    assert_eq!(costs("1.5"), (200, 5, false), "rounded up");
    assert_eq!(costs("many"), (200, 4, false));
    assert_eq!(costs("5"), (429, 4, true), "all or nothing");
    assert_eq!(costs("11"), (429, 4, false), "no waiting helps");
    assert_eq!(costs("4"), (200, 0, false));
}

#[test]
fn only_what_counts_is_counted() {
    // erl-mw-13, erl-mw-14, erl-mw-16, erl-mw-17
    let origin = Origin::serve(|turn| {
        let status = if turn.request().target().contains("bad") { 404 } else { 200 };
        turn.answer(status, &[], "");
    });
    for (count, counted, free) in
        [("failed", "/api/bad", "/api/good"), ("successful", "/api/good", "/api/bad")]
    {
        let gateway = Gateway::start(&[&origin], &edge(&format!("limit: 2, window: 60s, count: {count}")));
        let mut client = gateway.client();
        for _ in 0..4 {
            let answer = client.get(free);
            assert_eq!((answer.status == 429, members(&answer)[0].1), (false, 2), "{count}");
        }
        assert_eq!(members(&client.get(counted))[0].1, 1);
        assert_ne!(client.get(counted).status, 429);
        assert_eq!(statuses(&mut client, [counted, free]), [429, 429], "{count}: spent is spent");
    }
}

#[test]
fn a_client_that_leaves_has_failed_and_not_succeeded() {
    // erl-mw-18
    for (count, left) in [("failed", 1), ("successful", 2)] {
        let origin = Origin::serve(|turn| {
            if turn.request().target().contains("slow") {
                turn.wait_closed();
            } else {
                turn.answer(if turn.request().target().contains("bad") { 404 } else { 200 }, &[], "");
            }
        });
        let config = edge(&format!("limit: 2, window: 60s, count: {count}"));
        let gateway = Gateway::start(&[&origin], &config);
        let mut leaving = gateway.client();
        leaving.send("GET /api/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        origin.wait_count(1);
        drop(leaving);
        origin.wait_closed(0);
        // Asking with what does not count changes nothing: it is looked at until the gate has noticed.
        let free = if count == "failed" { "/api/good" } else { "/api/bad" };
        until("the client that left is settled", || members(&gateway.get(free))[0].1 == left);
    }
}

#[test]
fn what_skip_lets_through_is_neither_counted_nor_told_and_an_error_does_not_skip() {
    // erl-mw-10
    let origin = Origin::text("ok");
    let words = "limit: 1, window: 60s, skip: 'request.headers[\"x-skip\"] == \"yes\"'";
    let gateway = Gateway::start(&[&origin], &edge(words));
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.request("GET", "/api/x", &[("X-Skip", "yes")], b"");
        assert!(answer.status == 200 && !answer.headers.has("ratelimit"));
    }
    assert_eq!(statuses(&mut client, ["/api/x", "/api/x"]), [200, 429]);
}

#[test]
fn an_absent_key_has_a_rule_of_its_own() {
    let origin = Origin::text("ok");
    for (missing, statuses) in [
        ("client_ip", [200, 429, 200]),
        ("shared", [200, 429, 200]),
        ("deny", [429, 429, 200]),
        ("skip", [200, 200, 200]),
    ] {
        let words = format!("limit: 1, window: 60s, key: 'request.headers[\"x-key\"]', missing: {missing}");
        let config = edge(&words) + "admin: { listen: 127.0.0.1:0 }\n";
        let gateway = Gateway::start(&[&origin], &config);
        let mut client = gateway.client();
        let first = client.get("/api/x");
        let second = client.get("/api/x");
        let keyed = client.request("GET", "/api/x", &[("X-Key", "k")], b"");
        assert_eq!([first.status, second.status, keyed.status], statuses, "{missing}");
        let pk = first.header("ratelimit-policy").is_some_and(|policy| policy.contains("pk="));
        assert_eq!(pk, missing == "client_ip", "{missing}");
        if missing == "deny" {
            assert_eq!(first.problem(429), "rate limited");
            assert!(!first.headers.has("retry-after"));
        }
        let page =
            Client::connect(gateway.admin()).request("GET", "/metrics", &[("Host", "localhost")], b"").text();
        let told =
            page.contains("portcullis_rate_limit_decisions_total{limit=\"edge\",outcome=\"missing\"} 2");
        assert_eq!(told, matches!(missing, "deny" | "skip"), "{missing}");
    }
}

#[test]
fn a_refusal_may_have_another_status() {
    // erl-mw-07, erl-mw-05
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], &edge("limit: 0, window: 60s, status: 420"));
    let refused = gateway.get("/api/x");
    assert_eq!(refused.problem(420), "rate limited");
    assert!(!refused.headers.has("retry-after"), "waiting never helps");
}

#[test]
fn a_bucket_admits_its_burst_and_then_its_rate() {
    let origin = Origin::text("ok");
    let words = "limit: 10, window: 1h, algorithm: token_bucket, burst: 3";
    let gateway = Gateway::start(&[&origin], &edge(words));
    let mut client = gateway.client();
    assert_eq!(statuses(&mut client, ["/api/x", "/api/x", "/api/x"]), [200; 3]);
    let refused = client.get("/api/x");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((355..=360).contains(&wait), "one permit in six minutes: {wait}");
    assert!(refused.header("ratelimit-policy").unwrap().contains("q=10; w=3600"));
}

#[test]
fn what_a_limit_behind_auth_refuses_takes_nothing_from_one_before_it() {
    let origin = Origin::text("ok");
    let limits = "  edge: { limit: 10, window: 600s, headers: [draft-8] }\n  user: { limit: 1, window: 600s, key: identity.id }";
    let auth = "auth: { user: { jwt: { secret: \"${SECRET}\" }, identity: { x-user-id: sub } } }\n";
    let config = auth.to_owned() + &guarded(limits, "auth: user, rate_limit: [user, edge]");
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(&config);
    let mut client = gateway.client();
    let credentials = format!("Bearer {}", token::for_subject("alice"));
    let mut ask = || client.request("GET", "/api/x", &[("Authorization", &credentials)], b"");
    let first = ask();
    let names: Vec<String> = members(&first).into_iter().map(|(name, ..)| name).collect();
    assert_eq!((first.status, names), (200, vec!["edge".to_owned(), "user".to_owned()]));
    for _ in 0..5 {
        let refused = ask();
        assert_eq!((refused.status, members(&refused)[0].1), (429, 9));
    }
    // L08: who has no token spends all the same.
    let bare = client.get("/api/x");
    assert_eq!((bare.status, members(&bare)[0].1), (401, 8));
}

#[test]
fn a_hundred_at_one_moment_get_forty_permits() {
    // s-137, in memory
    let origin = Origin::text("ok");
    for algorithm in ["sliding_window", "fixed_window"] {
        let words = format!("limit: 40, window: 60s, key: route, algorithm: {algorithm}");
        let gateway = Gateway::start(&[&origin], &edge(&words));
        let start = std::sync::Barrier::new(20);
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || {
                let mut client = gateway.client();
                start.wait();
                (0..5).filter(|_| client.get("/api/x").status == 200).count()
            };
            let threads: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 40, "{algorithm}");
    }
}

#[test]
fn who_waits_as_long_as_told_is_admitted() {
    // s-060, s-061: whole seconds, and true.
    let origin = Origin::text("ok");
    for algorithm in ["sliding_window", "fixed_window", "token_bucket"] {
        let gateway =
            Gateway::start(&[&origin], &edge(&format!("limit: 2, window: 1s, algorithm: {algorithm}")));
        let mut client = gateway.client();
        let (mut admitted, mut promise) = (0, None);
        until("five are admitted", || {
            let answer = client.get("/api/x");
            let now = Instant::now();
            if answer.status == 200 {
                (admitted, promise) = (admitted + 1, None);
            } else {
                let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=1).contains(&wait));
                let promised = *promise.get_or_insert(now + Duration::from_secs(wait));
                assert!(now <= promised, "{algorithm}: refused after the time it told");
            }
            admitted == 5
        });
    }
}

#[test]
fn no_interval_as_long_as_the_window_holds_more_than_the_limit() {
    // s-058: ten before what would be the border of two windows, ten behind it, from ten offsets.
    const WINDOW: Duration = Duration::from_millis(500);
    let origin = Origin::text("ok");
    // What costs nothing is a look at the clock that changes nothing.
    let words = "limit: 10, window: 500ms, key: 'request.headers[\"x-key\"]', cost: 'request.path == \"/api/look\" ? 0 : 1'";
    let gateway = Gateway::start(&[&origin], &edge(words));
    std::thread::scope(|scope| {
        for offset in 0..10 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.client();
                let key = offset.to_string();
                let mut ask = |path: &str| client.request("GET", path, &[("X-Key", &key)], b"").status;
                let start = Instant::now();
                // When each was sent at the earliest, and decided at the latest.
                let mut admitted: Vec<(Instant, Instant)> = Vec::new();
                for tenths in [0, 9, 11, 19, 21] {
                    let at = WINDOW * tenths / 10 + WINDOW * offset / 100;
                    until("the moment has come", || {
                        assert_eq!(ask("/api/look"), 200);
                        start.elapsed() >= at
                    });
                    for _ in 0..if tenths == 0 { 1 } else { 10 } {
                        let sent = Instant::now();
                        if ask("/api/x") == 200 {
                            admitted.push((sent, Instant::now()));
                        }
                    }
                }
                assert!(admitted.len() > 10, "it goes on behind the border");
                for eleven in admitted.windows(11) {
                    // The gate counts in microseconds.
                    let apart = eleven[10].1.duration_since(eleven[0].0) + Duration::from_micros(1);
                    assert!(apart >= WINDOW, "eleven within {apart:?}");
                }
            });
        }
    });
}
