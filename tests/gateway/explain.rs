//! `portcullis explain`: what a request would meet, told without sending anything.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::pki::Pki;
use crate::support::token::SECRET;
use crate::support::{Gateway, Origin};

/// Two listeners, one of which stands in front of everything that a route can be.
const CONFIG: &str = r#"listeners:
  web:
    listen: 127.0.0.1:8081
    hosts: [shop.test]
    trusted_proxies: [192.0.2.0/24]
    policies: { rate_limit: [inherit, page] }
    routes:
      /api/orders/*: { upstream: orders, rewrite: "/${PREFIX}/v2", timeout: 5s }
  phone:
    listen: 127.0.0.1:8082
    policies: { auth: none }
upstreams:
  orders: { url: "http://127.0.0.1:3002/base" }
  users: { url: "http://127.0.0.1:3001" }
auth:
  user: { jwt: { secret: "${JWT_SECRET}" }, identity: { x-user-id: sub } }
rate_limits:
  edge: { limit: 1000, window: 1s, key: client.ip }
  page: { limit: 10, window: 1s, key: identity.id }
policies: { rate_limit: edge, auth: user }
routes:
  /api/orders/*: { upstream: orders }
  /api/*:
    - { match: { headers: { x-version: "2" } }, respond: { status: 202 } }
    - { match: { when: 'request.query["beta"] == "1"' }, redirect: { to: "/beta{rest}" } }
    - { match: { client_ip: [10.0.0.0/8] }, respond: { body: "inside" } }
  GET /users/{id}: { upstream: users, policies: { authorize: identity.id == params.id } }
  /users/{id}: { respond: { status: 405, body: { id: "{id}" } } }
  GET /home/{id}:
    policies: { auth: none, rate_limit: edge }
    aggregate:
      mode: partial
      sources:
        user: { upstream: users, path: "/{id}", required: true, headers: { x-key: "${JWT_SECRET}" } }
        ads: { upstream: orders, path: "/ads/${PREFIX}", timeout: 200ms, fallback: [], cache: 30s }
        orders: { upstream: orders, path: "/by/{sources.user.body.id}", when: sources.user.status == 200 }
        items:
          { upstream: orders, path: "/item/{item}", for_each: sources.orders.body, timeout: 1500ms }
        tips: { upstream: orders, path: "/tips/{sources.user.body.id}/{sources.ads.body.slot}" }
      shape: { omit: [user.ssn] }
"#;

fn run(arguments: &[&str]) -> Output {
    let prepared = Gateway::prepare(&[]).env("JWT_SECRET", SECRET).env("PREFIX", "sesame");
    prepared.run(&[&["explain", "-c", "CONFIG"], arguments].concat(), CONFIG)
}

/// What is told, without the folder of the configuration and what the test's house adds before it.
#[track_caller]
fn told(arguments: &[&str]) -> String {
    let out = run(arguments);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "warnings are for `check`");
    assert!(!text.contains(SECRET) && !text.contains("sesame"), "a secret in\n{text}");
    let mut clean = String::new();
    for piece in text.split_inclusive("portcullis.yaml:") {
        match piece
            .strip_suffix("portcullis.yaml:")
            .and_then(|piece| Some(piece.split_at(piece.rfind([' ', '('])? + 1)))
        {
            Some((before, _)) => clean = clean + before + "FILE:",
            None => clean.push_str(piece),
        }
    }
    clean
}

fn told_json(arguments: &[&str]) -> Value {
    let out = run(&[arguments, &["--output", "json"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn a_proxied_route_tells_its_policies_their_places_and_the_request_that_it_would_send() {
    let text = told(&[
        "POST",
        "http://shop.test:8081/api/orders/7/./x?b=1",
        "-H",
        "Authorization: Bearer abc",
        "-H",
        "X-User-Id: forged",
        "-H",
        "X-Forwarded-For: 203.0.113.9",
        "--client-ip",
        "192.0.2.1",
    ]);
    assert_eq!(text, PROXIED, "{text}");
    assert!(!text.contains("abc") && !text.contains("forged"));
}

const PROXIED: &str = "\
POST /api/orders/7/./x?b=1
  listener web on 127.0.0.1:8081 (by the port of the URL)
  host shop.test:8081, client 192.0.2.1
  read as /api/orders/7/x?b=1
  client behind trusted proxies: 203.0.113.9

route /api/orders/* (FILE:9, the listener's own)
  rest = /7/x
  timeout 5s
  routes that match the path:
    /api/orders/*  FILE:9   decides
    /api/orders/*  FILE:23  hidden by the listener's own route of this pattern
    /api/*         FILE:24  less specific
  3 others do not match the path

policies, in the order they run
  rate_limit  of the file      FILE:21  edge (declared at FILE:19)
  auth        of the file      FILE:21  user (declared at FILE:17)
  rate_limit  of the listener  FILE:7   page (declared at FILE:20)

action upstream
  upstream orders
  url http://127.0.0.1:3002/base
  asks POST /base/${...}/v2/7/x?b=1
    host: 127.0.0.1:3002
    authorization: (as sent)
    via: 1.1 (the name of the process)
    x-forwarded-for: 203.0.113.9, 192.0.2.1
    x-real-ip: 203.0.113.9
    x-forwarded-proto: http
    x-forwarded-host: shop.test:8081
    x-forwarded-port: 8081
    x-request-id: (the id of the request)
  once `auth` knows who it is, also x-user-id
";

#[test]
fn an_aggregate_is_drawn_as_what_starts_at_once_and_what_waits_for_what() {
    let text = told(&["GET", "/home/42", "--listener", "phone"]);
    assert_eq!(text, AGGREGATE, "{text}");
}

const AGGREGATE: &str = "\
GET /home/42
  listener phone on 127.0.0.1:8082 (named by --listener)
  host 127.0.0.1:8082, client 127.0.0.1

route GET /home/{id} (FILE:30, of the file)
  id = 42
  timeout 30s
  4 others do not match the path

policies, in the order they run
  rate_limit  of the route  FILE:31  edge (declared at FILE:19)

action aggregate
  mode partial
  errors in _errors
  at once
    user  GET users /{id}         -> /42               required; headers x-key
    ads   GET orders /ads/${...}  -> /base/ads/${...}  fallback; timeout 200ms; cache 30s, each client its own
  once user has come to something
    orders  GET orders /by/{sources.user.body.id}  when sources.user.status == 200
  once user and ads have come to something
    tips  GET orders /tips/{sources.user.body.id}/{sources.ads.body.slot}
  once orders has come to something
    items  GET orders /item/{item}  for_each sources.orders.body, 5 at a time, at most 20; timeout 1500ms
  then the shape of FILE:41
";

#[test]
fn the_alternatives_of_a_route_tell_which_of_them_holds_and_what_another_lacks() {
    let tried = |arguments: &[&str]| {
        let told = told_json(&[&["GET", "/api/x?beta=1"], arguments].concat());
        let of = |one: &Value| (one["fails"].clone(), one["answers"] == true);
        let list: Vec<(Value, bool)> = told["match"].as_array().unwrap().iter().map(of).collect();
        let kind = told["action"]["action"].as_str().unwrap_or_default().to_owned();
        (list, kind)
    };
    let (version, inside) = (json!("header x-version"), json!("client_ip"));
    let (list, kind) = tried(&["-H", "x-version: 2"]);
    assert_eq!((&list[0], kind.as_str()), (&(Value::Null, true), "respond"));
    let (list, kind) = tried(&[]);
    assert_eq!(list, [(version, false), (Value::Null, true), (inside, false)]);
    assert_eq!(kind, "redirect");

    let text = told(&["GET", "/api/x", "--client-ip", "10.1.2.3"]);
    for line in [
        "FILE:25  header x-version is `2`: does not hold: header x-version",
        "FILE:26  when `request.query[\"beta\"] == \"1\"`: does not hold: when",
        "FILE:27  client in 10.0.0.0/8: answers",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let text = told(&["GET", "/api/x"]);
    assert!(
        text.contains("  none holds\n") && text.contains("404 no route, once the policies let it pass"),
        "{text}"
    );
}

#[test]
fn the_method_decides_among_routes_of_one_pattern() {
    let told = told_json(&["GET", "/users/a%20b", "--listener", "web"]);
    assert_eq!(told["route"]["route"], "GET /users/{id}");
    assert_eq!(told["route"]["params"], json!({ "id": "a b" }));
    let verdicts: Vec<&Value> =
        told["considered"].as_array().unwrap().iter().map(|one| &one["verdict"]).collect();
    assert_eq!(verdicts, ["decides", "another route of this pattern names the method"]);
    let kinds: Vec<&Value> = told["policies"].as_array().unwrap().iter().map(|one| &one["policy"]).collect();
    assert_eq!(kinds, ["rate_limit", "auth", "authorize", "rate_limit"], "in the order they run");
    let told = told_json(&["PUT", "/users/7"]);
    let (action, route) = (&told["action"]["action"], &told["route"]["route"]);
    assert_eq!((action, route), (&json!("respond"), &json!("/users/{id}")));
    let told = told_json(&["PUT", "/home/7"]);
    assert_eq!(told["answer"], json!({ "status": 405, "error": "method not allowed", "allow": "GET, HEAD" }));
    assert_eq!(told["considered"][0]["verdict"], "does not take the method");
}

#[test]
fn what_is_refused_before_routing_is_told_as_the_gate_would() {
    let gateway = Gateway::start(&[], "routes: { /*: { respond: { status: 204 } } }");
    for (target, headers) in [
        ("/../x", &[][..]),
        ("/a%2Fb", &[]),
        ("/a b", &[]),
        ("*", &[]),
        ("/x", &["Host: a b"]),
        ("/x", &["Transfer-Encoding: gzip"]),
    ] {
        let mut arguments = vec!["explain", "-c", "CONFIG", "GET", target, "--output", "json"];
        headers.iter().for_each(|header| arguments.extend(["-H", header]));
        let out = Gateway::prepare(&[]).run(&arguments, "routes: { /*: { respond: { status: 204 } } }");
        let told: Value = serde_json::from_slice(&out.stdout).unwrap();
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let host = if headers.iter().any(|line| line.starts_with("Host")) { "" } else { "Host: gw.test\r\n" };
        let answer = gateway.raw(format!("GET {target} HTTP/1.1\r\n{host}{lines}\r\n"));
        let problem = answer.json();
        let refused =
            json!({ "status": answer.status, "error": problem["error"], "detail": problem["detail"] });
        assert_eq!(told["refused"], refused, "{target} {headers:?}");
    }
}

#[test]
fn what_is_told_of_a_proxied_request_is_what_the_service_gets() {
    let origin = Origin::text("fine");
    let config = "
        upstreams: { a: { url: 'ORIGIN1/base' } }
        routes: { '/v1/{user}/*': { upstream: a, rewrite: '/of/{user}', host: client } }";
    let gateway = Gateway::start(&[&origin], config);
    let headers =
        [("Host", "shop.test"), ("X-One", "1"), ("Accept", "a/b"), ("Connection", "x-gone"), ("X-Gone", "2")];
    assert_eq!(gateway.request("GET", "/v1/a%2Db/c?d=%20", &headers, b"").status, 200);
    let seen = origin.only();
    let mut arguments = vec!["explain", "-c", "CONFIG", "GET", "/v1/a%2Db/c?d=%20", "--output", "json"];
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    lines.iter().for_each(|line| arguments.extend(["-H", line]));
    let out = Gateway::prepare(&[&origin]).run(&arguments, config);
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    let asks = told["action"]["facts"]["asks"].as_str().unwrap();
    assert_eq!(seen.line, format!("{asks} HTTP/1.1"));
    for line in told["action"]["headers"].as_array().unwrap() {
        let (name, value) = (line["name"].as_str().unwrap(), line["value"].as_str().unwrap());
        match name {
            "x-request-id" => assert!(seen.header(name).is_some()),
            "via" => assert!(seen.header(name).unwrap().starts_with("1.1 portcullis-")),
            _ => assert_eq!(seen.header(name), Some(value), "{name}"),
        }
    }
    assert_eq!(seen.header("x-gone"), None);
    assert!(told["action"]["headers"].as_array().unwrap().iter().all(|line| line["name"] != "x-gone"));
    assert_eq!(origin.requests().len(), 1, "explaining sends nothing");
}

#[test]
fn the_listener_is_named_or_told_by_port_and_host() {
    let of = |arguments: &[&str]| {
        let told = told_json(arguments);
        (
            told["listener"]["name"].as_str().unwrap().to_owned(),
            told["listener"]["why"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(of(&["GET", "http://10.0.0.1:8082/x"]).0, "phone");
    assert_eq!(
        of(&["GET", "http://shop.test/x"]),
        ("web".to_owned(), "its hosts fit `shop.test` best".to_owned())
    );
    assert_eq!(of(&["GET", "/x", "-H", "host: SHOP.test"]).0, "web");
    let (name, why) = of(&["GET", "/x"]);
    assert!(name == "phone" && why.contains("--listener names another: web"), "{name} {why}");
    let other = told(&["GET", "http://other.test/home/7", "--listener", "web"]);
    assert!(
        other.contains("the listener does not answer for this host") && other.contains("404 no route"),
        "{other}"
    );

    for (slip, word) in [
        (&["GET", "/x", "--listener", "phoen"][..], "did you mean `phone`?"),
        (&["GET", "example.org/x"], "write a path such as"),
        (&["GET", "/x", "-H", "novalue"], "NAME: VALUE"),
        (&["GET", "/x", "-H", "a: b\r\nc: d"], "no line breaks"),
        (&["GET"], "URL"),
        (&["GET", "/x", "--client-ip", "home"], "client-ip"),
    ] {
        let out = run(slip);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{slip:?}");
        assert!(told.contains(word), "{word} in\n{told}");
    }
    let wrong = Gateway::prepare(&[])
        .run(&["explain", "-c", "CONFIG", "GET", "/x"], "routes: { /a: { upstream: b } }");
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0));
}

#[test]
fn a_preflight_is_told_where_it_is_judged() {
    let config = "
        policies: { cors: { origins: ['https://a.test'] } }
        routes: { PUT /x: { respond: { status: 204 } } }";
    let ask = |headers: &[&str]| {
        let mut arguments = vec!["explain", "-c", "CONFIG", "OPTIONS", "/x", "--output", "json"];
        headers.iter().for_each(|header| arguments.extend(["-H", header]));
        let out = Gateway::prepare(&[]).run(&arguments, config);
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let told = ask(&["origin: https://a.test", "access-control-request-method: PUT"]);
    assert_eq!((&told["preflight"], &told["route"]["route"]), (&json!("PUT"), &json!("PUT /x")));
    let told = ask(&[]);
    assert_eq!((&told["preflight"], &told["answer"]["status"]), (&Value::Null, &json!(405)));
}

#[test]
fn what_references_bring_in_is_not_shown_wherever_it_goes() {
    let config = r#"
        upstreams: { hooks: { url: "http://127.0.0.1:3001/${KEY}" } }
        routes:
          /named: { upstream: hooks }
          /placed: { upstream: "http://127.0.0.1:3001/${KEY}/x", host: "${KEY}.test" }
          /whole: { upstream: hooks, rewrite: "/a?key=${KEY}" }
          /away: { redirect: { to: "https://example.org/${KEY}" } }
          /told: { respond: { body: "${KEY}", headers: { x-key: "${KEY}" } } }
          /match: [ { match: { headers: { x-key: "${KEY}" } }, respond: { status: 204 } } ]
          /all:
            policies: { authorize: '"${KEY}" == request.host' }
            aggregate:
              sources:
                a: { upstream: hooks, path: "/${KEY}", query: { k: "${KEY}" }, headers: { x-key: "${KEY}" } }
                b: { upstream: "http://127.0.0.1:3001/${KEY}", path: /b }
                c: { upstream: "${URL}", path: "/{sources.a.body.id}/${KEY}", body: { k: "${KEY}" } }
    "#;
    for path in ["/named", "/placed", "/whole", "/away", "/told", "/match", "/all"] {
        for output in ["text", "json"] {
            let prepared =
                Gateway::prepare(&[]).env("KEY", "sesame").env("URL", "http://127.0.0.1:3002/sesame/");
            let arguments = ["explain", "-c", "CONFIG", "GET", path, "--output", output];
            let out = prepared.run(&arguments, config);
            let told = String::from_utf8(out.stdout).unwrap();
            assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
            assert!(told.contains(path) && !told.contains("sesame"), "{told}");
        }
    }
}

#[test]
fn a_listener_with_tls_is_asked_by_https() {
    let pki = Pki::new();
    pki.issue("shop", "DNS:shop.test");
    let config = format!(
        r#"
        listeners:
          web:
            listen: 127.0.0.1:8443
            tls: {{ certificates: [{{ certificate: "{0}/shop.pem", key: "{0}/shop.key" }}] }}
        upstreams: {{ shop: {{ url: "http://127.0.0.1:3001" }} }}
        policies: {{ rate_limit: none }}
        routes:
          /*:
            - {{ match: {{ when: request.scheme == "https" }}, upstream: shop }}
            - {{ redirect: {{ scheme: https }} }}
        "#,
        pki.dir()
    );
    let arguments = ["explain", "-c", "CONFIG", "GET", "https://shop.test:8443/x", "--output", "json"];
    let out = Gateway::prepare(&[]).run(&arguments, &config);
    let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(shown["action"]["facts"]["upstream"], "shop", "{shown:#}");
    let headers = shown["action"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!({ "name": "x-forwarded-proto", "value": "https" })), "{shown:#}");
}
