//! Which requests have one answer, and who gets which.

use crate::cache::{OPEN, is_hit, numbered, said, status};
use crate::support::token::{self, SECRET};
use crate::support::{Client, Gateway, Origin};

#[test]
fn vary_tells_answers_apart() {
    let origin = Origin::serve(|turn| {
        let request = turn.request();
        let told = |name: &str| request.headers.one(name).unwrap_or("none").to_owned();
        let body = format!("{} {} {}", told("accept-language"), told("x-a"), turn.number());
        let vary = if request.target() == "/both" { "X-A, Accept-Language" } else { "accept-language" };
        turn.answer(200, &[("Cache-Control", "max-age=60"), ("Vary", vary)], body);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    let mut get = |target: &str, headers: &[(&str, &str)]| client.request("GET", target, headers, b"");
    let de = [("Accept-Language", "de")];
    assert_eq!(said(&get("/one", &de)), "fwd=uri-miss; stored");
    assert_eq!(said(&get("/one", &[("Accept-Language", "fr")])), "fwd=vary-miss; stored");
    assert_eq!(said(&get("/one", &[])), "fwd=vary-miss; stored");
    for (headers, body) in
        [(&de[..], "de none 0"), (&[("Accept-Language", "fr")], "fr none 1"), (&[], "none none 2")]
    {
        let answer = get("/one", headers);
        is_hit(&answer);
        assert_eq!((answer.text().as_str(), answer.header("vary")), (body, Some("accept-language")));
    }
    // Absent is not empty, and what is not named makes no difference.
    assert_eq!(said(&get("/one", &[("Accept-Language", "")])), "fwd=vary-miss; stored");
    is_hit(&get("/one", &[("Accept-Language", "de"), ("X-A", "1")]));
    for (a, b) in [("1", "de"), ("2", "de"), ("1", "fr")] {
        let headers = [("X-A", a), ("Accept-Language", b)];
        get("/both", &headers);
        let hit = get("/both", &headers);
        is_hit(&hit);
        assert!(hit.text().starts_with(&format!("{b} {a} ")), "{}", hit.text());
    }
}

#[test]
fn variants_that_a_client_makes_up_push_out_their_own_kind_alone() {
    let origin = numbered(&[("Cache-Control", "max-age=60"), ("Vary", "user-agent")]);
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/other");
    for number in 0..100 {
        client.request("GET", "/one", &[("User-Agent", &number.to_string())], b"");
    }
    is_hit(&client.request("GET", "/one", &[("User-Agent", "99")], b""));
    assert_eq!(said(&client.request("GET", "/one", &[("User-Agent", "3")], b"")), "fwd=vary-miss; stored");
    is_hit(&client.get("/other"));
    // 32 variants and their directory, the other one and its directory.
    assert_eq!(status(&gateway)["entries"], 35);
}

#[test]
fn who_is_known_gets_answers_of_their_own() {
    let origin = Origin::serve(|turn| {
        let who = turn.request().header("x-user-id").unwrap_or("nobody").to_owned();
        let control = if turn.request().target().starts_with("/private") {
            "private, max-age=60"
        } else {
            "max-age=60"
        };
        turn.answer(200, &[("Cache-Control", control)], format!("{who} {}", turn.number()));
    });
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
        policies: { auth: user, cache: {} }
        routes:
          /*: { upstream: ORIGIN1 }
          /shared/*: { upstream: ORIGIN1, policies: { cache: { shared: true } } }
        ",
    );
    let mut client = gateway.client();
    let mut get = |target: &str, subject: &str| {
        let credentials = format!("Bearer {}", token::for_subject(subject));
        client.request("GET", target, &[("Authorization", &credentials)], b"")
    };
    for target in ["/plain", "/private/plain"] {
        for subject in ["alice", "bob"] {
            let first = get(target, subject);
            assert_eq!(said(&first), "fwd=uri-miss; stored", "{target} {subject}");
            let second = get(target, subject);
            is_hit(&second);
            assert!(second.text().starts_with(subject));
        }
    }
    assert_eq!(said(&get("/shared/plain", "alice")), "fwd=uri-miss; stored");
    let shared = get("/shared/plain", "bob");
    is_hit(&shared);
    assert!(shared.text().starts_with("alice"));
    // The gate judges before the store is asked.
    assert_eq!(gateway.get("/plain").problem(401), "missing token");
}

#[test]
fn a_shared_answer_that_is_private_is_not_kept() {
    let origin = numbered(&[("Cache-Control", "private, max-age=60")]);
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        policies: { auth: user, cache: { shared: true, ttl: 1h } }
        routes: { /*: { upstream: ORIGIN1 } }
        ",
    );
    let credentials = format!("Bearer {}", token::for_subject("alice"));
    for _ in 0..2 {
        let answer = gateway.request("GET", "/", &[("Authorization", &credentials)], b"");
        assert_eq!(said(&answer), "fwd=uri-miss");
    }
}

#[test]
fn a_configured_key_tells_requests_apart() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]);
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /a/{id}: { upstream: ORIGIN1, policies: { cache: { key: 'params.id + \"/\" + request.query.lang' } } }
          /b/{id}: { upstream: ORIGIN1, policies: { cache: { key: 'params.id + \"/\" + request.query.lang' } } }
        ",
    );
    let mut client = gateway.client();
    client.get("/a/1?lang=de&noise=1");
    is_hit(&client.get("/a/1?noise=2&lang=de"));
    is_hit(&client.request("GET", "/a/1?lang=de", &[("Host", "other.test")], b""));
    for target in ["/a/1?lang=fr", "/a/2?lang=de", "/b/1?lang=de"] {
        assert_eq!(said(&client.get(target)), "fwd=uri-miss; stored", "{target}");
    }
}

#[test]
fn what_a_shape_is_to_hide_is_not_given_from_before_it() {
    let origin = Origin::serve(|turn| {
        let headers = [("Content-Type", "application/json"), ("Cache-Control", "max-age=60")];
        turn.answer(200, &headers, r#"{"id":1,"ssn":2}"#);
    });
    let config = |inherited: &str| {
        format!(
            "admin: {{ listen: 127.0.0.1:0 }}\npolicies: {{ {inherited} }}\nroutes: {{ /: {{ upstream: ORIGIN1 }} }}\n"
        )
    };
    let gateway = Gateway::start(&[&origin], &config("cache: {}"));
    gateway.get("/");
    is_hit(&gateway.get("/"));
    for (inherited, text) in [
        ("cache: {}, shape: { omit: [ssn] }", r#"{"id":1}"#),
        ("cache: {}, shape: { omit: [id] }", r#"{"ssn":2}"#),
        ("cache: { key: '\"a\"' }, shape: { omit: [id] }", r#"{"ssn":2}"#),
    ] {
        gateway.overwrite_config(&config(inherited));
        let reload =
            Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"");
        assert_eq!(reload.status, 200);
        let answer = gateway.get("/");
        assert_eq!((said(&answer), answer.text().as_str()), ("fwd=uri-miss; stored", text), "{inherited}");
        is_hit(&gateway.get("/"));
    }
}

#[test]
fn a_route_that_changes_asks_anew_and_others_go_on() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]);
    let config = |timeout: &str, size: &str| {
        format!(
            "admin: {{ listen: 127.0.0.1:0 }}\ncache: {{ max_size: {size} }}\npolicies: {{ cache: {{}} }}\nroutes:\n  \
             /same: {{ upstream: ORIGIN1 }}\n  /other: {{ upstream: ORIGIN1, timeout: {timeout} }}\n"
        )
    };
    let gateway = Gateway::start(&[&origin], &config("5s", "8MiB"));
    gateway.get("/same");
    gateway.get("/other");
    gateway.overwrite_config(&format!("# moved down\n{}", config("6s", "4MiB")));
    let reload =
        || Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"");
    assert_eq!(reload().status, 200);
    assert_eq!(status(&gateway)["max_bytes"], 4 << 20);
    is_hit(&gateway.get("/same"));
    assert_eq!(said(&gateway.get("/other")), "fwd=uri-miss; stored");
    gateway.overwrite_config(&config("6s", "1B"));
    assert_eq!(reload().status, 200);
    assert_eq!(status(&gateway)["entries"], 0);
    gateway.get("/same");
    assert!(!said(&gateway.get("/same")).starts_with("hit"), "nothing is kept");
}
