//! What CEL means at the edge: one order of maps, one dialect of regular expressions, times and texts, a bounded cost.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::parts::{JSON, json_origin, told_words};
use crate::support::token::{SECRET, now, sign_text};
use crate::support::{Gateway, Origin};

/// Names of members in an order that is no alphabet's.
const NAMES: [&str; 12] = ["m", "z", "a", "k9", "k10", "K", "é", "b", "y", "x", "c", "w"];

fn object() -> String {
    let members: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\":{{\"id\":\"{name}\"}}")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn what_is_made_of_a_map_has_the_order_of_its_members() {
    let all = json_origin(&object());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let each = Origin::serve(move |turn| {
        let name = turn.request().header("x-name").unwrap_or("-").to_owned();
        sink.lock().unwrap().push(name);
        turn.answer(200, &[JSON], "1");
    });
    let gateway = Gateway::prepare(&[&all, &each]).env("SECRET", SECRET).start(
        "
        listen: 127.0.0.1:0
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        routes:
          /keys: { upstream: ORIGIN1, policies: { shape: { body: 'response.body.map(k, k)' } } }
          /kept: { upstream: ORIGIN1, policies: { shape: { body: 'response.body.filter(k, k != \"a\")' } } }
          /made: { upstream: ORIGIN1, policies: { shape: { body: '{\"z\": response.body, \"a\": [response.body][0]}' } } }
          /query: { upstream: ORIGIN1, policies: { shape: { body: 'request.query.map(k, k)' } } }
          /claims: { upstream: ORIGIN1, policies: { auth: user, shape: { body: identity.claims.of } } }
          /each:
            aggregate:
              sources:
                all: { upstream: ORIGIN1, path: / }
                each: { upstream: ORIGIN2, path: /, headers: { x-name: '{item}' }, for_each: 'sources.all.body.map(k, k.matches(r\"^[a-zK]\\w*$\"), k)', concurrency: 1 }
        ",
    );
    let texts = |names: &[&str]| serde_json::to_string(names).unwrap();
    let without: Vec<&str> = NAMES.iter().copied().filter(|name| *name != "a").collect();
    let ascii: Vec<&str> = NAMES.iter().copied().filter(|name| name.is_ascii()).collect();
    let claims = format!("{{\"sub\":\"u\",\"exp\":{},\"of\":{}}}", now() + 300, object());
    let token = format!("Bearer {}", sign_text(SECRET, &json!({ "alg": "HS256" }).to_string(), &claims));
    for _ in 0..3 {
        assert_eq!(gateway.get("/keys").text(), texts(&NAMES));
        assert_eq!(gateway.get("/kept").text(), texts(&without));
        assert_eq!(gateway.get("/made").text(), format!("{{\"z\":{0},\"a\":{0}}}", object()));
        assert_eq!(gateway.get("/query?z=1&a=2&m=3&z=4").text(), r#"["z","a","m"]"#);
        let answer = gateway.request("GET", "/claims", &[("Authorization", &token)], b"");
        assert_eq!(answer.text(), object());
        seen.lock().unwrap().clear();
        assert_eq!(gateway.get("/each").status, 200);
        assert_eq!(*seen.lock().unwrap(), ascii);
    }
}

#[test]
fn digits_of_other_scripts_are_no_digits_anywhere() {
    let origin = Origin::echo();
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        routes:
          /cel: { upstream: ORIGIN1, policies: { authorize: 'request.query.q.matches(r\"^\\d+$\")' } }
          /loop: { upstream: ORIGIN1, policies: { authorize: '[request.query.q].all(q, matches(q, r\"^\\d+$\"))' } }
          /query: { upstream: ORIGIN1, match: { query: { q: { regex: '^\\d+$' } } } }
          /header: { upstream: ORIGIN1, match: { headers: { x-q: { regex: '^\\w+$' } } } }
          /cookie: { upstream: ORIGIN1, match: { cookies: { q: { regex: '^[\\s\\d]+$' } } } }
        ",
    );
    for (query, status) in [("42", 200), ("%D9%A3", 403), ("%EF%BC%91", 403), ("4%0A", 403)] {
        assert_eq!(gateway.get(&format!("/cel?q={query}")).status, status, "{query}");
        assert_eq!(gateway.get(&format!("/loop?q={query}")).status, status, "{query}");
        let status = if status == 200 { 200 } else { 404 };
        assert_eq!(gateway.get(&format!("/query?q={query}")).status, status, "{query}");
    }
    for (value, status) in [("a_9", 200), ("caf\u{e9}", 404), ("\u{0663}", 404)] {
        assert_eq!(gateway.request("GET", "/header", &[("x-q", value)], b"").status, status, "{value}");
    }
    for (value, status) in [("q=4", 200), ("q=\u{0663}", 404), ("q=\u{a0}", 404)] {
        assert_eq!(gateway.request("GET", "/cookie", &[("cookie", value)], b"").status, status, "{value}");
    }
}

#[test]
fn times_and_texts_are_judged_and_written() {
    let origin =
        json_origin(r#"{"made":"2026-03-01T23:30:00.250+01:00","name":"  Ada Lovelace ","price":1.10}"#);
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        routes:
          /until/{day}: { upstream: ORIGIN1, policies: { authorize: 'timestamp(params.day + \"T00:00:00Z\") - duration(\"24h\") < timestamp(\"2026-03-01T00:00:00Z\")' } }
          /made: { upstream: ORIGIN1, policies: { shape: { body: '{
            \"at\": timestamp(response.body.made), \"later\": timestamp(response.body.made) + duration(\"90m\"),
            \"hour\": timestamp(response.body.made).getHours(\"Asia/Tokyo\"), \"age\": timestamp(response.body.made) - timestamp(0),
            \"last\": response.body.name.trim().split(\" \")[1].upperAscii(), \"said\": \"%s costs %s\".format([response.body.name.trim(), response.body.price])}' } } }
        ",
    );
    for (day, status) in [("2026-03-01", 200), ("2026-03-02", 403), ("2026-02-30", 403), ("x", 403)] {
        assert_eq!(gateway.get(&format!("/until/{day}")).status, status, "{day}");
    }
    let expected = r#"{"at":"2026-03-01T22:30:00.25Z","later":"2026-03-02T00:00:00.25Z","hour":7,"age":"1772404200.25s","last":"LOVELACE","said":"Ada Lovelace costs 1.10"}"#;
    assert_eq!(gateway.get("/made").text(), expected);
}

#[test]
fn an_expression_that_costs_too_much_fails_and_says_so() {
    let numbers: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    let origin = json_origin(&format!("[{}]", numbers.join(",")));
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        routes:
          /square: { upstream: ORIGIN1, policies: { shape: { body: 'response.body.all(a, response.body.exists(b, a == b))' } } }
          /line: { upstream: ORIGIN1, policies: { shape: { body: 'response.body.filter(a, a % 1000 == 0)' } } }
          /each:
            aggregate:
              mode: partial
              sources:
                all: { upstream: ORIGIN1, path: / }
                each: { upstream: ORIGIN1, path: /, for_each: 'sources.all.body.map(a, sources.all.body.map(b, a * b)).map(c, c[0])' }
        ",
    );
    assert_eq!(gateway.get("/line").text(), "[0,1000,2000]");
    assert_eq!(gateway.get("/square").problem(502), "upstream failure");
    assert_eq!(told_words(&gateway.get("/each")), "all=ok each=dependency");
}
