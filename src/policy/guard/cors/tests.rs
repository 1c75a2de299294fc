use http::Method;

use super::*;
use crate::config::OriginPattern;
use crate::policy::testing::exchange;

const PAGE: (&str, &str) = ("origin", "https://app.test");

fn settings() -> Settings {
    let text = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    Settings {
        origins: Origins::new(vec![OriginPattern::Exact("https://app.test".into())]),
        methods: Grant::Only(text(&["GET", "PUT"])),
        headers: Grant::Only(text(&["authorization"])),
        expose: None,
        credentials: false,
        max_age: None,
    }
}

/// The lines of the answer to a preflight, without its `vary`.
fn preflight(settings: Settings, lines: &[(&str, &str)]) -> String {
    let mut exchange = exchange(lines);
    exchange.request.method = Method::OPTIONS;
    let cors = Cors::new(settings);
    let Step::Respond(mut answer) = cors.on_request(&mut exchange) else { panic!("it is answered") };
    assert_eq!(answer.status, http::StatusCode::NO_CONTENT);
    assert!(matches!(cors.on_response(&mut exchange, &mut answer), Step::Continue));
    assert_eq!(answer.headers.all("vary").count(), 1);
    answer.headers.remove("vary");
    text(&answer.headers)
}

fn text(headers: &Headers) -> String {
    let mut text = Vec::new();
    headers.write_to(&mut text);
    String::from_utf8(text).unwrap().replace("access-control-", "").replace("\r\n", "|")
}

/// The lines of an answer that had some of its own.
fn answered(settings: Settings, request: &[(&str, &str)], answer: &[(&str, &str)]) -> String {
    let (mut exchange, cors) = (exchange(request), Cors::new(settings));
    assert!(matches!(cors.on_request(&mut exchange), Step::Continue));
    let mut response = Response::new(http::StatusCode::OK);
    for (name, value) in answer {
        response.headers.append(name, value.as_bytes()).unwrap();
    }
    assert!(matches!(cors.on_response(&mut exchange, &mut response), Step::Continue));
    text(&response.headers)
}

const ASKS: (&str, &str) = ("access-control-request-method", "PUT");

#[test]
fn a_preflight_is_told_what_is_granted() {
    let told = "allow-origin: https://app.test|allow-methods: GET, PUT|allow-headers: authorization|";
    assert_eq!(preflight(settings(), &[PAGE, ASKS]), told);
    let all = Settings { credentials: true, max_age: Some(0), ..settings() };
    let told = "allow-origin: https://app.test|allow-credentials: true|max-age: 0|allow-methods: GET, PUT|allow-headers: authorization|";
    assert_eq!(preflight(all, &[PAGE, ASKS]), told);
    let bare = Settings { headers: Grant::Only(Vec::new()), ..settings() };
    assert_eq!(preflight(bare, &[PAGE, ASKS]), "allow-origin: https://app.test|allow-methods: GET, PUT|");
}

#[test]
fn a_foreign_preflight_is_told_nothing() {
    for origin in ["https://evil.test", "http://app.test", "null", "https://app.test.evil", ""] {
        assert_eq!(preflight(settings(), &[("origin", origin), ASKS]), "", "{origin}");
    }
    assert_eq!(preflight(settings(), &[PAGE, PAGE, ASKS]), "", "two origins are none");
}

#[test]
fn only_an_options_of_a_page_that_asks_for_a_method_is_a_preflight() {
    let asked = |method: Method, lines: &[(&str, &str)]| {
        let mut exchange = exchange(lines);
        exchange.request.method = method;
        asked(&exchange.request)
    };
    assert_eq!(asked(Method::OPTIONS, &[PAGE, ASKS]), Some(Method::PUT));
    assert_eq!(asked(Method::OPTIONS, &[PAGE]), None);
    assert_eq!(asked(Method::OPTIONS, &[ASKS]), None);
    assert_eq!(asked(Method::GET, &[PAGE, ASKS]), None);
    assert_eq!(asked(Method::OPTIONS, &[PAGE, ("access-control-request-method", "a b")]), None);
    assert_eq!(asked(Method::OPTIONS, &[PAGE, ("access-control-request-method", "")]), None);
}

#[test]
fn everything_is_a_star_without_credentials_and_what_was_asked_with_them() {
    let all = |credentials| Settings {
        methods: Grant::All(Vec::new()),
        headers: Grant::All(Vec::new()),
        credentials,
        ..settings()
    };
    let asks = [PAGE, ASKS, ("access-control-request-headers", "X-A,x-b , authorization,, b@d,c")];
    assert_eq!(
        preflight(all(false), &asks),
        "allow-origin: https://app.test|allow-methods: *|allow-headers: *|"
    );
    let with = "allow-origin: https://app.test|allow-credentials: true|allow-methods: PUT|";
    assert_eq!(preflight(all(true), &asks), format!("{with}allow-headers: X-A, x-b, c|"));
    assert_eq!(preflight(all(true), &[PAGE, ASKS]), with, "nothing was asked for");
    let beside =
        |credentials| Settings { headers: Grant::All(vec!["authorization".to_owned()]), ..all(credentials) };
    assert!(preflight(beside(false), &asks).ends_with("allow-headers: *, authorization|"));
    assert!(preflight(beside(true), &asks).ends_with("allow-headers: X-A, x-b, authorization, c|"));
    let alone = [PAGE, ASKS, ("access-control-request-headers", "authorization")];
    assert_eq!(preflight(all(true), &alone), with, "`*` does not cover it");
}

#[test]
fn the_gate_speaks_alone_on_answers() {
    let service = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-secret"),
        ("access-control-max-age", "86400"),
        ("vary", "accept-encoding"),
    ];
    let vary = "vary: accept-encoding, origin|";
    assert_eq!(answered(settings(), &[PAGE], &service), format!("{vary}allow-origin: https://app.test|"));
    assert_eq!(answered(settings(), &[("origin", "https://evil.test")], &service), vary);
    assert_eq!(answered(settings(), &[], &service), vary, "caches keep answers that nobody's page asked for");
    let all = Settings { credentials: true, expose: Some("x-a, x-b".to_owned()), ..settings() };
    let told = "allow-origin: https://app.test|allow-credentials: true|expose-headers: x-a, x-b|";
    assert_eq!(answered(all, &[PAGE], &service), format!("{vary}{told}"));
    let any = || Settings { origins: Origins::Any, expose: Some("*".to_owned()), ..settings() };
    let told = "vary: accept-encoding|allow-origin: *|expose-headers: *|";
    assert_eq!(answered(any(), &[PAGE], &service), told);
    assert_eq!(answered(any(), &[], &service), told);
}

#[test]
fn a_socket_of_a_foreign_page_is_refused() {
    let open = |origins: &str, lines: &[(&str, &str)]| {
        let origins = match origins {
            "*" => Origins::Any,
            text => Origins::new(vec![OriginPattern::Exact(text.into())]),
        };
        let mut all = vec![("sec-websocket-key", "a"), ("sec-websocket-version", "13")];
        all.extend_from_slice(lines);
        let cors = Cors::new(Settings { origins, ..settings() });
        match cors.on_request(&mut exchange(&all)) {
            Step::Continue => None,
            Step::Fail(error) => Some((error.kind(), error.why())),
            _ => panic!("it passes or fails"),
        }
    };
    let foreign = Some((ErrorKind::Forbidden, "origin"));
    assert_eq!(open("https://app.test", &[PAGE]), None);
    assert_eq!(open("https://app.test", &[]), None, "no browser");
    assert_eq!(open("https://app.test", &[("origin", "http://gw.test")]), None, "its own");
    for origin in ["https://evil.test", "null", "https://gw.test:1"] {
        assert_eq!(open("https://app.test", &[("origin", origin)]), foreign, "{origin}");
        assert_eq!(open("*", &[("origin", origin)]), None, "{origin}");
    }
    assert_eq!(open("https://app.test", &[PAGE, PAGE]), foreign);
}
