//! What aggregates, caches and shapes must not do to those who share a gate: one client's answer in the hands of another, and
//! words of the gate in the mouth of a service.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::parts::{JSON, bomb, json_origin, told_words};
use crate::support::token::{self, SECRET};
use crate::support::{Answer, Client, Gateway, Origin, until};

/// Answers with the number of the request, and with what `lines` says.
fn numbered(lines: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::serve(move |turn| {
        let number = (turn.number() + 1).to_string();
        turn.answer(200, &[lines, &[JSON]].concat(), number);
    })
}

fn with(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Answer {
    gateway.request("GET", target, headers, b"")
}

/// A source says that its answer is for one language or one session alone; the aggregate's answer must say so too, or whoever
/// keeps it (the gate's own policy `cache` first of all) gives it to others.
#[test]
fn what_a_source_varies_by_the_answer_varies_by() {
    let origin = numbered(&[("Cache-Control", "max-age=60"), ("Vary", "Cookie, accept-language, x-other")]);
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /kept:  { policies: { cache: {} }, aggregate: { sources: { it: { upstream: ORIGIN1, path: /, forward_headers: [cookie, accept-language] } } } }
          /plain: { aggregate: { sources: { it: { upstream: ORIGIN1, path: /, forward_headers: [cookie, accept-language] } } } }
          /deaf:  { policies: { cache: {} }, aggregate: { sources: { it: { upstream: ORIGIN1, path: / } } } }
        ",
    );
    let ada = [("Cookie", "session=ada")];
    let bob = [("Cookie", "session=bob")];
    assert_eq!(with(&gateway, "/kept", &ada).text(), r#"{"it":1}"#);
    assert_eq!(with(&gateway, "/kept", &bob).text(), r#"{"it":2}"#, "what was made for another session");
    assert_eq!(with(&gateway, "/kept", &ada).text(), r#"{"it":1}"#);
    assert_eq!(with(&gateway, "/kept", &[("Accept-Language", "de")]).text(), r#"{"it":3}"#);
    assert_eq!(with(&gateway, "/kept", &[("Accept-Language", "fr")]).text(), r#"{"it":4}"#);
    // Caches behind the gate are told as well.
    let answer = with(&gateway, "/plain", &ada);
    assert_eq!(answer.header("vary"), Some("accept-language, cookie"));
    // What it was not told of cannot have changed its answer.
    assert_eq!(with(&gateway, "/deaf", &ada).text(), r#"{"it":6}"#);
    let answer = with(&gateway, "/deaf", &bob);
    assert_eq!((answer.text().as_str(), answer.header("vary")), (r#"{"it":6}"#, None));
}

/// A line that the gate makes of the request stands for what it was made of: nobody can tell whom else the answer is for.
#[test]
fn what_varies_by_a_line_that_is_made_is_for_nobody_else() {
    let origin = numbered(&[("Cache-Control", "max-age=60"), ("Vary", "x-tenant")]);
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /: { policies: { cache: {} }, aggregate: { sources: { it: { upstream: ORIGIN1, path: /, headers: { x-tenant: '{request.headers[\"x-shop\"]}' } } } } }
        ",
    );
    assert_eq!(with(&gateway, "/", &[("X-Shop", "a")]).text(), r#"{"it":1}"#);
    assert_eq!(with(&gateway, "/", &[("X-Shop", "b")]).text(), r#"{"it":2}"#);
}

/// Several hosts on one gate: a service is told which one was asked, and what it makes of it is for that host.
#[test]
fn a_source_kept_for_one_host_is_not_given_to_another() {
    let origin = Origin::serve(|turn| {
        let host = turn.request().header("x-forwarded-host").unwrap_or_default().to_owned();
        turn.answer(200, &[JSON], format!("\"{host}\""));
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners:
          one: { listen: 127.0.0.1:0 }
        routes:
          /: { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: /, cache: 10m } } } }
        ",
    );
    let ask = |host: &str| {
        let mut client = Client::connect(gateway.listener("one"));
        client.request("GET", "/", &[("Host", host)], b"").text()
    };
    assert_eq!(ask("a.test"), r#"{"it":"a.test"}"#);
    assert_eq!(ask("b.test"), r#"{"it":"b.test"}"#);
    assert_eq!(ask("A.test"), r#"{"it":"A.test"}"#);
    assert_eq!(ask("a.test"), r#"{"it":"a.test"}"#);
    assert_eq!(origin.count(), 3);
}

/// `vary` of a source names lines that the gate writes anew for every client: it cannot be kept for others.
#[test]
fn what_varies_by_the_address_of_the_client_is_not_kept() {
    for vary in ["X-Forwarded-For", "accept, x-real-ip", "*"] {
        let origin = Origin::serve(move |turn| {
            let number = (turn.number() + 1).to_string();
            turn.answer(200, &[JSON, ("Vary", vary)], number);
        });
        let gateway = Gateway::start(
            &[&origin],
            "routes: { /: { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: /, cache: 10m } } } } }",
        );
        assert_eq!(gateway.get("/").text(), r#"{"it":1}"#);
        assert_eq!(gateway.get("/").text(), r#"{"it":2}"#, "vary: {vary}");
    }
}

/// Two routes ask the same; what one of them takes for an answer, and for how long, is no rule for the other.
#[test]
fn what_one_route_keeps_another_judges_for_itself() {
    let origin = Origin::serve(|turn| {
        let body =
            if turn.request().target() == "/big" { format!("\"{}\"", "x".repeat(5000)) } else { "{}".into() };
        let status = if turn.request().target() == "/gone" { 404 } else { 200 };
        turn.answer(status, &[JSON], body);
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /lax/{x}:    { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{x}', cache: 10m, accept: [404] } } } }
          /strict/{x}: { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{x}', cache: 10m, max_body: 1000B } } } }
          /many:
            aggregate:
              mode: partial
              sources:
                it: { upstream: ORIGIN1, path: '/big', cache: 10m, for_each: '[1, 2, 3]', max_body: 12KiB }
          /brief/{x}:  { aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: '/{x}', cache: 1ms } } } }
        ",
    );
    assert_eq!(told_words(&gateway.get("/lax/gone")), "it=ok");
    assert_eq!(told_words(&gateway.get("/lax/gone")), "it=ok;cached");
    let answer = gateway.get("/strict/gone");
    assert_eq!((answer.status, told_words(&answer).as_str()), (502, "it=status"));
    assert_eq!(told_words(&gateway.get("/lax/big")), "it=ok");
    assert_eq!(told_words(&gateway.get("/lax/big")), "it=ok;cached");
    let answer = gateway.get("/strict/big");
    assert_eq!((answer.status, told_words(&answer).as_str()), (502, "it=too_large"));
    // The bound is for the whole list, wherever its items come from.
    assert_eq!(told_words(&gateway.get("/many")), "it=too_large");
    until("it is older than this one wants it", || told_words(&gateway.get("/brief/big")) == "it=ok");
}

/// A shape that a reload puts over all routes holds for what was kept before, too.
#[test]
fn what_was_kept_before_a_shape_is_not_given_after_it() {
    let origin = json_origin(r#"{"id":1,"ssn":2}"#);
    let config = |policies: &str| {
        format!(
            "policies: {{ {policies} }}\nroutes: {{ /: {{ upstream: ORIGIN1, policies: {{ cache: {{ ttl: 10m }} }} }} }}\n"
        )
    };
    let gateway = Gateway::start(&[&origin], &config(""));
    assert_eq!(gateway.get("/").text(), r#"{"id":1,"ssn":2}"#);
    assert_eq!(gateway.get("/").text(), r#"{"id":1,"ssn":2}"#);
    assert_eq!(origin.count(), 1, "it is kept");
    gateway.replace_config(&config("shape: { omit: [ssn] }"));
    until("the new shape is in force", || gateway.get("/").text() == r#"{"id":1}"#);
}

/// No word of the gate's stands in an answer because a service has said it, whatever a shape calls things.
#[test]
fn no_shape_gives_a_member_of_a_service_the_name_of_what_failed() {
    let (good, bad) =
        (json_origin(r#"{"id":1,"_errors":{"forged":1}}"#), Origin::serve(|turn| turn.answer(500, &[], "")));
    let gateway = Gateway::start(
        &[&good, &bad],
        "
        routes:
          /rename: { policies: { shape: { unwrap: it, rename: { id: _errors } } }, aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: / }, no: { upstream: ORIGIN2, path: / } } } }
          /top:    { policies: { shape: { rename: { it: _errors } } }, aggregate: { mode: partial, sources: { it: { upstream: ORIGIN1, path: / }, no: { upstream: ORIGIN2, path: / } } } }
        ",
    );
    let told = r#""_errors":{"no":{"error":"status","status":500}}"#;
    assert_eq!(gateway.get("/rename").text(), format!("{{{told}}}"));
    assert_eq!(gateway.get("/top").text(), format!("{{\"no\":null,{told}}}"));
}

/// Who is known by another name, or is not known, gets nothing that was made for one.
#[test]
fn identities_do_not_share() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]);
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
        routes:
          /: { policies: { auth: user, cache: {} }, aggregate: { sources: { it: { upstream: ORIGIN1, path: /, cache: 10m } } } }
        ",
    );
    let ask = |subject: &str| {
        let credentials = format!("Bearer {}", token::for_subject(subject));
        with(&gateway, "/", &[("Authorization", &credentials)]).text()
    };
    assert_eq!((ask("ada").as_str(), ask("bob").as_str()), (r#"{"it":1}"#, r#"{"it":2}"#));
    assert_eq!((ask("ada").as_str(), ask("bob").as_str()), (r#"{"it":1}"#, r#"{"it":2}"#));
}

/// Little in a coding may be very much without it, and all of it dropped: others get their turn meanwhile, and the time of
/// the route ends it.
#[test]
fn blanks_without_end_hold_nobody_up() {
    let mut twice = GzEncoder::new(Vec::new(), Compression::best());
    twice.write_all(&bomb(1 << 30)).unwrap();
    let bomb = twice.finish().unwrap();
    let origin = Origin::serve(move |turn| {
        let bomb: &[u8] = if turn.request().target() == "/bomb" { &bomb } else { b"" };
        match bomb {
            b"" => turn.answer(200, &[JSON], "{}"),
            bomb => turn.answer(200, &[JSON, ("Content-Encoding", "gzip, gzip")], bomb),
        }
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        routes:
          /bomb:  { upstream: ORIGIN1, timeout: 500ms, policies: { shape: { keep: [id] } } }
          /other: { upstream: ORIGIN1, policies: { shape: { keep: [id] } } }
        ",
    );
    let mut clients: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.send("GET /bomb HTTP/1.1\r\nHost: a\r\n\r\n");
    });
    origin.wait_count(4);
    assert_eq!(gateway.get("/other").text(), "{}");
    for mut client in clients {
        assert_eq!(client.read().status, 504);
    }
}

/// The service reads the credential as well: what it has shown to one with many rights is not for the same subject with few.
#[test]
fn a_credential_for_less_gets_nothing_that_was_made_for_more() {
    let origin = numbered(&[("Cache-Control", "max-age=60")]);
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
        routes:
          /: { upstream: ORIGIN1, policies: { auth: user, cache: {} } }
        ",
    );
    let ask = |scope: &str, tenant: u32, issued: u64| {
        let (now, sub) = (token::now(), "ada");
        let claims = json!({ "sub": sub, "scope": scope, "tenant": tenant, "iat": issued, "exp": now + 60, "jti": issued });
        let credentials = format!("Bearer {}", token::with_claims(&claims));
        with(&gateway, "/", &[("Authorization", &credentials)]).text()
    };
    assert_eq!(ask("read write", 1, 1), "1");
    assert_eq!(ask("read", 1, 1), "2");
    assert_eq!(ask("read", 2, 1), "3");
    assert_eq!(ask("read write", 1, 2), "1", "the next token of the same kind");
    assert_eq!(ask("read", 1, 2), "2");
}

#[test]
fn no_shape_of_the_policies_wraps_in_the_name_of_what_failed() {
    let check = |mode: &str| {
        let config = format!(
            "policies: {{ shape: {{ wrap: _errors }} }}\nroutes: {{ /: {{ aggregate: {{ mode: {mode}, sources: {{ a: {{ upstream: 'http://a.test', path: / }} }} }} }} }}\n"
        );
        let output = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &config);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (good, told) = check("partial");
    assert!(!good && told.contains("wraps the answer in it") && told.contains("help:"), "{told}");
    assert!(check("all").0);
}

/// Nobody but the gate says who is asking, even where a line of that name is made of what the client says.
#[test]
fn a_line_that_is_set_does_not_stand_beside_the_identity() {
    let origin = Origin::echo();
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub } } }
        routes:
          /: { policies: { auth: user }, aggregate: { sources: { it: { upstream: ORIGIN1, path: /, headers: { x-user-id: '{request.headers[\"x-say\"]}' } } } } }
        ",
    );
    let credentials = format!("Bearer {}", token::for_subject("ada"));
    assert_eq!(with(&gateway, "/", &[("Authorization", &credentials), ("X-Say", "root")]).status, 200);
    assert_eq!(origin.only().header("x-user-id"), Some("ada"));
}
