//! What a client of gRPC gets when its call does not reach a service, or the service does not speak gRPC. Ids in
//! comments are cases of the catalogue of behaviour.

use bytes::Bytes;
use http::HeaderMap;

use crate::support::h2::{Session, Whole, block_on, request};
use crate::support::{Closed, Gateway, Origin, Turn, token};

/// One call with one message.
fn call(gateway: &Gateway, path: &str, media: &str, lines: &[(&str, &str)]) -> Whole {
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let mut all = vec![("content-type", media), ("te", "trailers")];
        all.extend(lines);
        let mut stream = session.open(request("POST", path, &all), false).await.unwrap();
        let _ = stream.body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true);
        stream.whole().await.unwrap()
    })
}

/// The status and the message of a head that is its trailers.
#[track_caller]
fn refused(answer: &Whole, media: &str) -> (u8, String) {
    let line = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((answer.status, line("content-type").as_deref()), (200, Some(media)));
    assert!(answer.body.is_empty() && answer.trailers.as_ref().is_none_or(HeaderMap::is_empty));
    assert!(line("content-length").is_none() && line("x-request-id").is_some());
    (line("grpc-status").unwrap().parse().unwrap(), line("grpc-message").unwrap())
}

#[test]
fn errors_of_the_gateway_are_statuses_of_grpc() {
    // s-102
    let closed = Closed::new();
    let origin = Origin::serve(Turn::wait_closed);
    let config = format!(
        "
        admin: {{ listen: '127.0.0.1:0' }}
        auth: {{ user: {{ jwt: {{ secret: '${{SECRET}}', algorithms: [HS256] }} }} }}
        rate_limits: {{ few: {{ limit: 1, window: 1h }} }}
        routes:
          /closed: {{ upstream: '{}' }}
          /silent: {{ upstream: ORIGIN1, timeout: 200ms }}
          /private: {{ upstream: ORIGIN1, policies: {{ auth: user }} }}
          /limited: {{ upstream: '{}', policies: {{ rate_limit: few }} }}
          GET /get: {{ upstream: ORIGIN1 }}
          /moved: {{ redirect: {{ to: 'https://gw.test/', status: 308 }} }}
          /text: {{ respond: {{ status: 503, body: later }} }}
        ",
        closed.url(),
        closed.url()
    );
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", token::SECRET).start(&config);
    let media = "application/grpc";
    for (path, lines, status, message) in [
        ("/closed", &[][..], 14, "upstream failure"),
        ("/silent", &[], 4, "deadline exceeded"),
        ("/private", &[], 16, "missing token"),
        ("/private", &[("authorization", "Bearer x")], 16, "invalid token"),
        ("/none", &[], 12, "no route"),
        ("/get", &[], 12, "method not allowed"),
        ("/moved", &[], 2, "the answer is not of gRPC: HTTP status 308"),
        ("/text", &[], 14, "the answer is not of gRPC: HTTP status 503"),
        ("/%zz", &[], 13, "malformed request"),
    ] {
        let (code, text) = refused(&call(&gateway, path, "application/grpc+proto", lines), media);
        assert!(code == status && text.starts_with(message), "{path}: {code} {text}");
    }
    call(&gateway, "/limited", media, &[]);
    let limited = call(&gateway, "/limited", media, &[]);
    assert_eq!(refused(&limited, media).0, 8);
    assert!(limited.headers.contains_key("retry-after") && limited.headers.contains_key("ratelimit"));
    let private = call(&gateway, "/private", media, &[]);
    assert!(private.headers.contains_key("www-authenticate"));
    // A head that is too large has a route as little as a path.
    let large = "x".repeat(20_000);
    assert_eq!(refused(&call(&gateway, "/closed", media, &[("x-large", &large)]), media).0, 8);
    // gRPC-Web is answered in its own type, and any other request as ever.
    let web = "application/grpc-web-text";
    assert_eq!(refused(&call(&gateway, "/none", web, &[]), web).0, 12);
    let plain = call(&gateway, "/none", "application/json", &[]);
    assert_eq!(
        (plain.status, &plain.headers["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
    // A client of HTTP/1.1 that has such a body gets the same.
    let answer = gateway.client().request("POST", "/none", &[("Content-Type", media)], b"x");
    assert_eq!((answer.status, answer.header("grpc-status"), answer.body.len()), (200, Some("12"), 0));

    let log = gateway.log(16);
    let line = log.iter().find(|line| line["path"] == "/closed").unwrap();
    assert_eq!((&line["status"], &line["grpc_status"]), (&200.into(), &14.into()));
    assert_eq!(line["error"], "upstream failure");
    let metrics = crate::tls::metrics(&gateway);
    assert!(metrics.contains("portcullis_grpc_calls_total{status=\"UNAUTHENTICATED\"} 3"), "{metrics}");
}

#[test]
fn a_page_of_a_service_is_no_message() {
    let origin = Origin::serve(|turn| {
        turn.read_body();
        let (target, page) = (turn.request().target().to_owned(), "<html><body>sorry</body></html>");
        let html = [("Content-Type", "text/html"), ("Set-Cookie", "a=b")];
        match target.as_str() {
            "/head" => turn.answer(200, &[("Content-Type", "text/plain"), ("Grpc-Status", "5")], ""),
            "/stream" => {
                turn.chunked(200, &html);
                turn.chunk(page);
                turn.wait_closed();
            }
            target => turn.answer(target[1..].parse().unwrap(), &html, page),
        }
    });
    let gateway = Gateway::start(&[&origin], "routes: { /*: { upstream: ORIGIN1 } }");
    let media = "application/grpc";
    for (path, status) in [
        ("/200", 2),
        ("/400", 13),
        ("/401", 16),
        ("/403", 7),
        ("/404", 12),
        ("/429", 14),
        ("/500", 2),
        ("/502", 14),
        ("/503", 14),
        ("/504", 14),
        ("/302", 2),
        ("/stream", 2),
    ] {
        let answer = call(&gateway, path, media, &[]);
        assert_eq!(refused(&answer, media).0, status, "{path}");
        assert!(answer.headers.contains_key("set-cookie"), "only what speaks of the content goes");
    }
    // What says how the call has ended is left as it is.
    let answer = call(&gateway, "/head", media, &[]);
    assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &"5".parse().unwrap()));
    assert_eq!(answer.headers["content-type"], "text/plain");
}
