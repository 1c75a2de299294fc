//! The operator's own listener.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{Answer, Client, Gate, Gateway, Origin};

const CONFIG: &str = "
    admin: { listen: 127.0.0.1:0 }
    upstreams: { users: { url: ORIGIN1 } }
    routes:
      /api/*: { upstream: users }
      GET /only/{id}: { respond: { status: 204 } }
      /all: { aggregate: { sources: { user: { upstream: users, path: / } } } }
    ";

fn ask(gateway: &Gateway, method: &str, target: &str) -> Answer {
    let admin = gateway.admin();
    Client::connect(admin).request(method, target, &[("Host", &admin.to_string())], b"")
}

/// The series of a scrape, with their values. Every line is judged by the text format.
#[track_caller]
fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let answer = ask(gateway, "GET", "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    let text = answer.text();
    assert!(text.ends_with('\n'));
    let (mut series, mut kinds, mut families) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, text)| !text.is_empty()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            families.push(name.to_owned());
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
            let bare = name.split('{').next().unwrap();
            let family = families.last().unwrap();
            let of_family = bare == family
                || (kinds[family] == "histogram"
                    && ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|end| bare.strip_suffix(end) == Some(family)));
            assert!(of_family, "{line} stands under {family}");
            assert!(kinds[family] != "counter" || bare.ends_with("_total"), "{line}");
            labels(name);
        }
    }
    series
}

/// The labels of a series; a form that Prometheus would not read fails the test.
#[track_caller]
fn labels(series: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let Some((_, rest)) = series.split_once('{') else { return all };
    let mut rest = rest.strip_suffix('}').unwrap();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{series}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{series}");
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next().unwrap_or_else(|| panic!("{series}")) {
                (_, '\\') => value.extend(letters.next().map(|(_, letter)| letter)),
                (at, '"') => break at,
                (_, letter) => value.push(letter),
            }
        };
        assert!(all.insert(name.to_owned(), value).is_none(), "{series}");
        rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
    }
    all
}

#[test]
fn health_and_readiness() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(&[&origin], CONFIG);
    for target in ["/healthz", "/readyz"] {
        assert_eq!(ask(&gateway, "GET", target).status, 200);
        assert_eq!(ask(&gateway, "HEAD", target).status, 200);
        let answer = ask(&gateway, "POST", target);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    }
    let mut client = gateway.client();
    client.send("GET /api/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    gateway.signal("TERM");
    crate::support::until("it says that it drains", || ask(&gateway, "GET", "/readyz").status == 503);
    assert_eq!(ask(&gateway, "GET", "/healthz").status, 200, "alive until its end");
    let refused = ask(&gateway, "POST", "/reload");
    assert_ne!(refused.status, 200, "no reload while it ends");
    gate.open();
    assert_eq!(client.read().text(), "ok");
    assert!(gateway.wait_exit().success());
}

#[test]
fn numbers_are_well_formed_and_count() {
    let origin = Origin::text("hello");
    let gateway = Gateway::start(&[&origin], CONFIG);
    scrape(&gateway);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.request("POST", "/api/x", &[], b"four").status, 200);
    }
    assert_eq!(client.get("/none").status, 404);
    assert_eq!(client.request("DELETE", "/only/1", &[], b"").status, 405);
    // An exchange is counted when its answer has left, which the client may notice first.
    let ended = |numbers: &BTreeMap<String, f64>| -> f64 {
        numbers.iter().filter(|(name, _)| name.starts_with("portcullis_requests_total")).map(|(_, n)| n).sum()
    };
    let mut numbers = BTreeMap::new();
    crate::support::until("all five are counted", || {
        numbers = scrape(&gateway);
        ended(&numbers) >= 5.0 && numbers.iter().all(|(name, n)| !name.contains("in_flight") || *n == 0.0)
    });
    let of = |name: &str, wanted: &[(&str, &str)]| -> f64 {
        let sum = numbers.iter().filter(|(series, _)| {
            let have = labels(series);
            series.split('{').next() == Some(name)
                && wanted.iter().all(|(label, value)| have.get(*label).is_some_and(|is| is == value))
        });
        sum.map(|(_, value)| value).sum()
    };
    let route = ("route", "/api/*");
    assert_eq!(of("portcullis_requests_total", &[route, ("class", "2xx"), ("listener", "default")]), 3.0);
    assert_eq!(of("portcullis_requests_total", &[("class", "4xx"), ("route", "")]), 2.0);
    assert_eq!(of("portcullis_request_duration_seconds_count", &[route]), 3.0);
    assert_eq!(of("portcullis_request_duration_seconds_bucket", &[route, ("le", "+Inf")]), 3.0);
    assert_eq!(of("portcullis_request_bytes_total", &[route]), 12.0);
    assert_eq!(of("portcullis_response_bytes_total", &[route]), 15.0);
    assert_eq!(of("portcullis_requests_in_flight", &[]), 0.0);
    assert_eq!(of("portcullis_errors_total", &[("error", "no_route")]), 1.0);
    assert_eq!(of("portcullis_errors_total", &[("error", "method_not_allowed")]), 1.0);
    assert_eq!(
        of("portcullis_upstream_attempts_total", &[("upstream", "users"), ("outcome", "answered")]),
        3.0
    );
    assert_eq!(of("portcullis_upstream_attempts_total", &[]), 3.0);
    assert_eq!(of("portcullis_connections_accepted_total", &[]), 1.0);
    assert_eq!(of("portcullis_connections_open", &[]), 1.0);
    assert_eq!(of("portcullis_config_version", &[]), 1.0);
    // Each histogram's buckets only grow.
    let mut buckets: Vec<(f64, f64)> = numbers
        .iter()
        .filter(|(series, _)| series.starts_with("portcullis_request_duration_seconds_bucket"))
        .filter(|(series, _)| labels(series)["route"] == "/api/*")
        .map(|(series, value)| (labels(series)["le"].parse().unwrap(), *value))
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{buckets:?}");
}

#[test]
fn clients_make_no_series() {
    // s-128, s-129
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    let mut client = gateway.client();
    client.get("/api/x");
    client.get("/none");
    let names = |gateway: &Gateway| scrape(gateway).into_keys().collect::<BTreeSet<String>>();
    let before = names(&gateway);
    for number in 0..300 {
        assert_eq!(client.get(&format!("/api/item/{number}?q={number}")).status, 200);
        assert_eq!(client.get(&format!("/item-{number}")).status, 404);
        let host = format!("host-{number}.test");
        client.request("GET", "/api/x", &[("Host", &host), ("User-Agent", &host)], b"");
        client = gateway.client();
        let status = client.request(&format!("METHOD{number}"), "/api/x", &[], b"").status;
        assert!([200, 400, 405, 501].contains(&status), "{status}");
        client = gateway.client();
    }
    let after = names(&gateway);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.len() < 20, "{new:#?}");
    for series in &after {
        for (name, value) in labels(series) {
            assert!(
                !value.contains("item") && !value.contains("METHOD") && !value.contains("host-"),
                "{series}"
            );
            if name == "route" {
                assert!(["/api/*", "GET /only/{id}", "/all", ""].contains(&value.as_str()), "{series}");
            }
        }
    }
}

#[test]
fn routes_are_listed() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    let answer = ask(&gateway, "GET", "/routes");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let listing = answer.json();
    assert_eq!(listing["version"], 1);
    let routes = &listing["listeners"][0]["routes"];
    assert_eq!(routes[0]["route"], "/api/*");
    assert_eq!((&routes[0]["action"], &routes[0]["upstreams"]), (&json!("upstream"), &json!(["users"])));
    assert_eq!((&routes[1]["methods"], &routes[1]["pattern"]), (&json!(["GET"]), &json!("/only/{id}")));
    assert_eq!((&routes[2]["methods"], &routes[2]["action"]), (&json!(["GET"]), &json!("aggregate")));
}

#[test]
fn a_reload_is_asked_for_and_told_about() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    let answer = ask(&gateway, "POST", "/reload");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((&answer.json()["ok"], &answer.json()["version"]), (&json!(true), &json!(2)));
    assert_eq!(ask(&gateway, "GET", "/reload").status, 405, "a link cannot reload");

    gateway.replace_config(&CONFIG.replace("{ upstream: users }", "{ upstream: usres }"));
    let answer = ask(&gateway, "POST", "/reload");
    assert_eq!(answer.status, 422);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let told = answer.json();
    assert_eq!((&told["ok"], &told["version"], &told["errors"]), (&json!(false), &json!(2), &json!(1)));
    let text = told["diagnostics"].to_string();
    assert!(text.contains("usres") && text.contains("users"), "what, and the mend: {text}");
    assert!(text.contains("portcullis.yaml") && text.contains("\"line\""), "where: {text}");
    assert_eq!(gateway.get("/api/x").status, 200, "as before");
    let status = ask(&gateway, "GET", "/status").json();
    assert_eq!((&status["version"], &status["last_reload"]["ok"]), (&json!(2), &json!(false)));
    let numbers = scrape(&gateway);
    assert_eq!(numbers["portcullis_config_last_reload_successful"], 0.0);
    assert_eq!(numbers["portcullis_config_reloads_total{result=\"failed\"}"], 1.0);

    gateway.replace_config(CONFIG);
    assert_eq!(ask(&gateway, "POST", "/reload").status, 200);
    assert_eq!(scrape(&gateway)["portcullis_config_last_reload_successful"], 1.0);
}

#[test]
fn no_listener_leads_to_it() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    let admin = gateway.admin().to_string();
    for target in ["/healthz", "/readyz", "/metrics", "/routes", "/status"] {
        assert_eq!(gateway.get(target).problem(404), "no route");
        let answer = gateway.request("GET", target, &[("Host", &admin)], b"");
        assert_eq!(answer.problem(404), "no route");
    }
    assert_eq!(gateway.request("POST", "/reload", &[], b"").problem(404), "no route");
    assert_eq!(ask(&gateway, "GET", "/api/x").status, 404, "and it leads to no route");
    assert_eq!(origin.count(), 0);
}

#[test]
fn web_pages_are_kept_out() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    let port = gateway.admin().port();
    let mut client = Client::connect(gateway.admin());
    for host in
        ["localhost", &format!("localhost:{port}"), &format!("127.0.0.1:{port}"), &format!("[::1]:{port}")]
    {
        assert_eq!(client.request("GET", "/healthz", &[("Host", host)], b"").status, 200, "{host}");
    }
    for host in ["evil.test", "127.0.0.1.evil.test", &format!("evil.test:{port}"), "localhost.evil.test"] {
        for (method, target) in [("GET", "/metrics"), ("POST", "/reload"), ("GET", "/none")] {
            let answer = Client::connect(gateway.admin()).request(method, target, &[("Host", host)], b"");
            assert_eq!(answer.problem_status(), 403, "{host}");
        }
    }
    let foreign = [("Host", "localhost"), ("Origin", "https://evil.test")];
    assert_eq!(client.request("POST", "/reload", &foreign, b"").problem_status(), 403);
    let null = [("Host", "localhost"), ("Origin", "null")];
    assert_eq!(client.request("POST", "/reload", &null, b"").problem_status(), 403);
    assert!(gateway.stderr_lines().iter().all(|line| !line.contains("reloaded")), "{}", gateway.stderr());
}

trait Problem {
    fn problem_status(&self) -> u16;
}

impl Problem for Answer {
    /// The status of an error of the admin listener, which has no x-request-id line.
    fn problem_status(&self) -> u16 {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        assert_eq!(self.json()["status"], self.status);
        self.status
    }
}

#[test]
fn bad_bytes_do_not_end_it() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], CONFIG);
    for bytes in [
        "\r\n\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000)),
        "\u{0}\u{1}\u{2}".to_owned() + "\r\n\r\n",
    ] {
        let mut client = Client::connect(gateway.admin());
        let _ = client.try_send(&bytes);
        client.finish_sending();
        let _ = client.try_read_for("GET");
    }
    // More silent connections than it serves at a time would keep others out; fewer do not.
    let silent: Vec<Client> = (0..32).map(|_| Client::connect(gateway.admin())).collect();
    assert_eq!(ask(&gateway, "GET", "/healthz").status, 200);
    drop(silent);
    let mut client = Client::connect(gateway.admin());
    for _ in 0..3 {
        assert_eq!(client.request("GET", "/healthz", &[("Host", "localhost")], b"").text(), "ok\n", "kept");
    }
}
