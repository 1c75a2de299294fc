//! Trailer fields of requests: which reach a service, and that no other does. Ids in comments are cases of the catalogue
//! of behaviour.

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::h2::{Session, block_on, request};
use crate::support::h2_origin::H2Origin;
use crate::support::{Gateway, Origin, Seen, token};

const ROUTES: &str = "
    auth:
      user:
        jwt: { secret: '${SECRET}', algorithms: [HS256] }
        identity: { x-user-id: sub }
    upstreams: { plain: { url: ORIGIN1, retry: { attempts: 2, retry_on: [reset, 503], backoff: 0ms..1ms } } }
    routes:
      /none/*: { upstream: plain }
      /some/*: { upstream: plain, trailers: [X-Sum, x-other] }
      /private/*: { upstream: plain, policies: { auth: user } }
    ";

fn gateway(origin: &Origin) -> Gateway {
    Gateway::prepare(&[origin]).env("SECRET", token::SECRET).start(ROUTES)
}

/// What a client may try to say behind a body, and whether a route that lists it lets it pass.
const FIELDS: &[(&str, &str)] = &[
    ("x-sum", "1"),
    ("x_sum", "2"),
    ("x-unlisted", "3"),
    ("content-length", "4"),
    ("x-user-id", "admin"),
    ("x_user_id", "root"),
    ("x.user.id", "root"),
    ("x-forwarded-for", "6.6.6.6"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("x-forwarded-user", "mallory"),
    ("x-original-url", "/admin"),
    ("host", "evil.test"),
    ("authorization", "Bearer x"),
    ("te", "gzip"),
    ("connection", "close"),
    ("trailer", "x-more"),
];

fn over_http1(gateway: &Gateway, path: &str, media: &str) {
    let fields: String = FIELDS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let answer = gateway.raw(format!(
        "POST {path} HTTP/1.1\r\nHost: gw.test\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\nTrailer: {}\r\n\r\n\
         5\r\nhello\r\n0\r\n{fields}\r\n",
        names.join(", ")
    ));
    assert_eq!(answer.status, 200);
}

fn over_http2(gateway: &Gateway, path: &str, media: &str) {
    // The library sends no fields that speak of a connection; it refuses them as well.
    let fields =
        FIELDS.iter().filter(|(name, _)| !["te", "connection", "content-length", "host"].contains(name));
    let mut trailers = HeaderMap::new();
    let mut names = Vec::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        names.push(name.as_str().to_owned());
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let announced = names.join(", ");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let lines = [("content-type", media), ("trailer", announced.as_str()), ("content-length", "5")];
        let mut stream = session.open(request("POST", path, &lines), false).await.unwrap();
        stream.body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        stream.body.send_trailers(trailers).unwrap();
        assert_eq!(stream.whole().await.unwrap().status, 200);
    });
}

/// The trailers that a service has got, and those that were announced to it.
fn got(seen: &Seen) -> (Vec<&str>, &str) {
    let mut names: Vec<&str> = seen.trailers.0.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    (names, seen.header("trailer").unwrap_or_default())
}

#[test]
fn what_a_route_lists_passes_and_nothing_else() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    for ask in [over_http1, over_http2] {
        ask(&gateway, "/some/x", "text/plain");
        let seen = origin.last();
        assert_eq!(got(&seen), (vec!["x-sum"], "x-sum"));
        assert_eq!((seen.trailers.one("x-sum"), seen.text().as_str()), (Some("1"), "hello"));
        ask(&gateway, "/none/x", "text/plain");
        assert_eq!(got(&origin.last()), (vec![], ""));
        ask(&gateway, "/none/x", "application/grpc+proto");
        let seen = origin.last();
        assert_eq!(
            got(&seen),
            (vec!["x-sum", "x-unlisted", "x_sum"], "x-sum, x_sum, x-unlisted"),
            "all of gRPC's"
        );
    }
    for word in ["admin", "root", "6.6.6.6", "mallory", "evil", "Bearer"] {
        assert!(!origin.raw_all().contains(word), "{word} reached the service");
    }
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
}

#[test]
fn a_request_that_is_repeated_has_its_trailers_again() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let origin = Origin::serve(move |turn| {
        turn.read_body();
        let failed = first.swap(false, std::sync::atomic::Ordering::SeqCst);
        turn.answer(if failed { 503 } else { 200 }, &[], "");
    });
    let gateway = gateway(&origin);
    let answer = gateway.raw(
        "PUT /some/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    assert_eq!((answer.status, origin.count()), (200, 2));
    for seen in origin.requests() {
        assert_eq!((seen.text().as_str(), got(&seen)), ("hello", (vec!["x-sum"], "")));
    }
}

#[test]
fn trailers_are_bounded_in_number_and_size() {
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    let many: String = (0..33).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x-sum: {}\r\n", "a".repeat(9_000));
    for fields in [many, large] {
        let answer = gateway.raw(format!(
            "POST /some/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{fields}\r\n"
        ));
        assert_eq!(answer.status, 400);
        block_on(async {
            let mut trailers = HeaderMap::new();
            for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                trailers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let session = Session::connect(gateway.address()).await;
            let mut stream = session.open(request("POST", "/some/x", &[]), false).await.unwrap();
            stream.body.send_trailers(trailers).unwrap();
            assert_eq!(stream.whole().await.unwrap().status, 400);
        });
    }
}

#[test]
fn that_trailers_are_welcome_is_passed_on() {
    // s-094, s-103
    let origin = Origin::echo();
    let gateway = gateway(&origin);
    let says =
        |seen: &Seen| (seen.header("te").map(str::to_owned), seen.header("connection").map(str::to_owned));
    let both = (Some("trailers".to_owned()), Some("te".to_owned()));
    let mut client = gateway.client();
    for (te, said) in [("trailers", &both), ("gzip, Trailers", &both), ("gzip", &(None, None))] {
        client.request("GET", "/none/x", &[("TE", te), ("Connection", "TE")], b"");
        assert_eq!(says(&origin.last()), *said, "{te}");
    }
    client.request("GET", "/none/x", &[], b"");
    assert_eq!(says(&origin.last()), (None, None));
    client.request("POST", "/none/x", &[("Content-Type", "application/grpc")], b"x");
    assert_eq!(says(&origin.last()), both, "a server of gRPC asks for it");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asked = request("GET", "/none/x", &[("te", "trailers")]);
        session.open(asked, true).await.unwrap().whole().await.unwrap();
    });
    assert_eq!(says(&origin.last()), both);
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
}

#[test]
fn the_same_holds_for_services_over_http2() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        let announced = call.header("trailer").unwrap_or_default().to_owned();
        let body = call.body().await;
        let trailers = call.body.trailers().await.ok().flatten().unwrap_or_default();
        let mut names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        call.answer(200, &[], format!("{} {announced} {}", body.len(), names.join(",")));
    });
    let gateway = Gateway::start(
        &[],
        &format!(
            "
            upstreams: {{ service: {{ url: 'http://{}', protocol: http2 }} }}
            routes: {{ /none: {{ upstream: service }}, /some: {{ upstream: service, trailers: [x-sum] }} }}
            ",
            origin.address()
        ),
    );
    let chunked = |path: &str| {
        gateway.raw(format!(
            "POST {path} HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, x-user-id\r\n\r\n\
             5\r\nhello\r\n0\r\nx-sum: 1\r\nx-user-id: admin\r\nx-other: 2\r\n\r\n"
        ))
    };
    assert_eq!(chunked("/some").text(), "5 x-sum x-sum");
    assert_eq!(chunked("/none").text(), "5  ");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut stream = session.open(request("POST", "/some", &[]), false).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers.insert("x-other", HeaderValue::from_static("2"));
        stream.body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        stream.body.send_trailers(trailers).unwrap();
        assert_eq!(stream.whole().await.unwrap().body, b"5  x-sum");
    });
}
