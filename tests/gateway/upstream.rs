//! What happens between the gateway and its services: faults, pools, streams, and what of them a client may see.
//! Ids in comments are rows (U, H) and cases (s) of the catalogue of behaviour.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Closed, Digest, Gate, Gateway, Origin, Turn, until};

const OPEN: &str = "routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }";

/// A gateway before a service that runs this script.
fn before(script: impl Fn(&mut Turn) + Send + Sync + 'static) -> (Origin, Gateway) {
    let origin = Origin::serve(script);
    let gateway = Gateway::start(&[&origin], OPEN);
    (origin, gateway)
}

// ---- faults

#[test]
fn a_service_that_cannot_be_reached_is_502_or_503_and_stays_unnamed() {
    // U01, U02, U12
    let closed = Closed::new();
    let config = format!(
        "
        upstreams:
          refused: {{ url: {} }}
          nameless: {{ url: http://no-such-service.invalid }}
        routes:
          /refused/*: {{ upstream: refused }}
          /nameless/*: {{ upstream: nameless }}
        ",
        closed.url()
    );
    let gateway = Gateway::start(&[], &config);
    let targets = [
        ("/refused/secret-path?a=%3Cb%3E", 502, "upstream failure"),
        ("/nameless/secret-path", 503, "no endpoint"),
    ];
    for (target, status, phrase) in targets {
        for method in ["GET", "POST"] {
            let answer = gateway.request(method, target, &[], b"");
            assert_eq!(answer.problem(status), phrase, "{target}");
            let told = format!("{:?} {}", answer.headers, answer.text());
            for hidden in ["127.0.0.1", "refused", "nameless", "invalid", "secret-path", "%3C"] {
                assert!(!told.contains(hidden), "{hidden} in {told}");
            }
        }
    }
    // The log may name it. Its lines come from several threads.
    let log = gateway.log(4);
    assert_eq!(log.iter().filter(|line| line["upstream"] == "refused").count(), 2, "{log:#?}");
}

#[test]
fn no_answer_is_502() {
    // U03
    for reset in [false, true] {
        let (origin, gateway) = before(move |turn| {
            turn.read_body();
            if reset { turn.reset() } else { turn.close() }
        });
        assert_eq!(gateway.get("/api/x").problem(502), "upstream failure");
        assert_eq!(origin.count(), 1, "a fresh connection that fails is no stale one: nothing is sent again");
        let before = origin.count();
        assert_eq!(gateway.request("POST", "/api/x", &[], b"body").problem(502), "upstream failure");
        assert_eq!(origin.count(), before + 1, "a POST that was sent is never sent again");
    }
}

#[test]
fn what_is_no_answer_is_502() {
    // U04, and what would let one answer pass for two.
    let answers: [&str; 15] = [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Half",
        "",
    ];
    let origin = Origin::serve(move |turn| {
        let number: usize = turn.request().target().trim_start_matches('/').parse().unwrap();
        turn.raw(answers[number]);
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], "routes: { /api/*: { upstream: STEADY1, rewrite: / } }");
    for (number, bytes) in answers.iter().enumerate() {
        let answer = gateway.get(&format!("/api/{number}"));
        assert_eq!(answer.status, 502, "{bytes:?}: {}", answer.text());
        assert_eq!(answer.problem(502), "upstream failure", "{bytes:?}");
    }
}

#[test]
fn an_endless_head_is_502() {
    let (_origin, gateway) = before(|turn| {
        turn.raw("HTTP/1.1 200 OK\r\n");
        for _ in 0..4096 {
            turn.raw(format!("X-A: {}\r\n", "a".repeat(1000)));
        }
        turn.close();
    });
    assert_eq!(gateway.get("/api/x").problem(502), "upstream failure");
    assert!(gateway.peak_memory() < 64);
}

#[test]
fn a_large_head_passes() {
    // s-109, s-134
    let (_origin, gateway) = before(|turn| {
        let cookies: Vec<String> =
            ["a", "b", "c"].iter().map(|name| format!("{name}={}", "v".repeat(3500))).collect();
        let mut headers: Vec<(&str, &str)> =
            cookies.iter().map(|cookie| ("Set-Cookie", cookie.as_str())).collect();
        headers.extend([("Link", "</a>; rel=x"), ("Link", "</b>; rel=y")]);
        turn.answer(200, &headers, "ok");
    });
    let answer = gateway.get("/api/x");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let names: Vec<&str> = answer.headers.all("set-cookie").iter().map(|cookie| &cookie[..2]).collect();
    assert_eq!(names, ["a=", "b=", "c="]);
    assert_eq!(answer.headers.all("link").len(), 2);
}

#[test]
fn an_answer_that_breaks_off_is_never_ended_cleanly() {
    // U05, s-133
    for (head, reset) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello", true),
    ] {
        let arrived = Gate::new();
        let seen = arrived.clone();
        let (_origin, gateway) = before(move |turn| {
            turn.raw(head);
            turn.wait(&seen);
            if reset { turn.reset() } else { turn.close() }
        });
        let mut client = gateway.client();
        client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        if !head.ends_with("zz\r\n") {
            // Only once the client has the beginning does the service break off.
            assert!(client.has_bytes(crate::support::PATIENCE));
        }
        arrived.open();
        let answer = client.read();
        if answer.status == 200 {
            assert!(!answer.complete, "{head:?}");
        } else {
            assert_eq!(answer.problem(502), "upstream failure", "nothing of it had been sent");
        }
        assert!(client.closed());
        assert_eq!(gateway.log(1)[0]["error"], "upstream failure", "{head:?}");
    }
}

#[test]
fn what_takes_too_long_is_504() {
    // U06, U07, U08
    let origin = Origin::serve(|turn| turn.wait_closed());
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams:
          slow: { url: ORIGIN1, timeouts: { response: 200ms } }
          patient: { url: ORIGIN1, timeouts: { response: 10m } }
        routes:
          /slow: { upstream: slow, timeout: 10m }
          /deadline: { upstream: patient, timeout: 200ms }
        ",
    );
    assert_eq!(gateway.get("/slow").problem(504), "upstream timeout");
    assert_eq!(gateway.get("/deadline").problem(504), "deadline exceeded");
    for connection in 0..2 {
        origin.wait_closed(connection);
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_time_for_an_answer_rests_while_an_upload_moves() {
    // The exchange's deadline; the upload lasts longer than it, and no piece of it is waited for that long.
    let (origin, gateway) = {
        let origin = Origin::echo();
        let config = "routes: { /api/*: { upstream: ORIGIN1, rewrite: /, timeout: 2s } }";
        let gateway = Gateway::start(&[&origin], config);
        (origin, gateway)
    };
    let mut client = gateway.client();
    client.send("POST /api/up HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let end = Instant::now() + Duration::from_millis(2500);
    let mut other = gateway.client();
    // Enough to earn the time by `upload_rate` on a busy machine, and below the bound of a body on a fast one.
    let chunk = format!("80\r\n{}\r\n", "x".repeat(128));
    while Instant::now() < end {
        client.send(&chunk);
        assert_eq!(other.get("/api/x").status, 200);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read().status, 200);
    assert!(origin.faults().is_empty());
}

#[test]
fn a_service_that_takes_no_more_of_a_body_is_504() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| turn.wait(&held));
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { full: { url: ORIGIN1, timeouts: { response: 10m, idle: 300ms } } }
        routes: { /api/*: { upstream: full, timeout: 10m } }
        ",
    );
    let mut client = gateway.client();
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10000000\r\n\r\n");
    let mut sender = client.stream().try_clone().unwrap();
    // Ends when everything is on its way, or when the gateway has closed.
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &vec![b'x'; 10_000_000]));
    assert_eq!(client.read().problem(504), "upstream timeout");
    gate.open();
    drop(client);
    let _ = sending.join();
}

#[test]
fn a_connection_that_is_not_taken_is_504() {
    // A full queue of connections: the service's machine says nothing at all.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(100);
    let held: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect_timeout(&address, wait)).collect();
    let config = format!(
        "
        upstreams: {{ full: {{ url: http://{address}, timeouts: {{ connect: 200ms }} }} }}
        routes: {{ /x: {{ upstream: full }} }}
        "
    );
    let gateway = Gateway::start(&[], &config);
    let answer = gateway.get("/x");
    assert!([502, 504].contains(&answer.status));
    answer.problem(answer.status);
    drop(held);
}

#[test]
fn a_gap_in_an_answer_cuts_it() {
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[]);
        turn.chunk("hello");
        turn.wait_closed();
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        upstreams: { slow: { url: ORIGIN1, timeouts: { idle: 200ms } } }
        routes: { /slow: { upstream: slow } }
        ",
    );
    let mut client = gateway.client();
    let answer = client.get("/slow");
    assert_eq!((answer.status, answer.complete, answer.text().as_str()), (200, false, "hello"));
    assert!(client.closed());
    origin.wait_closed(0);
    assert!(gateway.log(1)[0]["error"].is_string());
}

#[test]
fn a_client_that_leaves_ends_the_call() {
    // U10, s-110: before the head, and in the middle of the body.
    let (origin, gateway) = before(|turn| {
        if turn.request().target() == "/body" {
            turn.chunked(200, &[]);
            turn.chunk("hello");
        }
        turn.wait_closed();
    });
    let mut client = gateway.client();
    client.send("GET /api/head HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    origin.wait_count(1);
    drop(client);
    origin.wait_closed(0);
    let mut client = gateway.client();
    client.send("GET /api/body HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(client.read_head().0, 200);
    drop(client);
    origin.wait_closed(1);
    let mut client = gateway.client();
    client.send("POST /api/upload HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 100\r\n\r\npart");
    origin.wait_count(3);
    drop(client);
    origin.wait_closed(2);
}

// ---- the pool

#[test]
fn connections_are_used_again() {
    // U11
    let origin = Origin::echo();
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    for n in 0..20 {
        let (method, body): (_, &[u8]) = if n % 2 == 0 { ("GET", b"") } else { ("POST", b"body") };
        assert_eq!(client.request(method, "/api/x", &[], body).status, 200);
    }
    assert_eq!((origin.count(), origin.connections()), (20, 1));
    assert!(!origin.last().headers.all("connection").contains(&"close"));
}

#[test]
fn a_connection_that_closes_under_a_request_is_replaced() {
    // s-083, without the waiting: the service closes a used connection exactly when the next request arrives.
    let (origin, gateway) = before(|turn| match turn.nth() {
        0 => turn.echo(),
        _ if turn.connection() % 2 == 0 => turn.close(),
        _ => turn.reset(),
    });
    let mut client = gateway.client();
    for n in 0..60 {
        let answer = client.get(&format!("/api/{n}"));
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        assert_eq!(answer.json()["line"], format!("GET /{n} HTTP/1.1"));
    }
    // s-132: each attempt of a request has its id.
    for n in 0..60 {
        let line = format!("GET /{n} HTTP/1.1");
        let all = origin.requests();
        let mut ids: Vec<_> =
            all.iter().filter(|seen| seen.line == line).map(|seen| seen.header("x-request-id")).collect();
        assert!((1..=2).contains(&ids.len()));
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
    // What is not safe is not repeated once it was sent.
    let before = origin.count();
    let answer = client.request("POST", "/api/once", &[], b"pay");
    assert!([200, 502].contains(&answer.status));
    assert_eq!(origin.count(), before + 1);
}

#[test]
fn a_connection_known_to_be_closed_is_not_used() {
    // s-084
    let finished = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&finished);
    let (origin, gateway) = before(move |turn| {
        turn.echo();
        turn.finish();
        count.fetch_add(1, Ordering::SeqCst);
        turn.wait_closed();
    });
    let mut client = gateway.client();
    for n in 0..30 {
        let answer = client.request("POST", "/api/x", &[], b"body");
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        until("the service has said FIN", || finished.load(Ordering::SeqCst) == n + 1);
    }
    assert_eq!((origin.count(), origin.connections()), (30, 30));
}

#[test]
fn a_close_that_is_announced_is_heeded() {
    let (origin, gateway) = before(|turn| {
        match turn.number() % 4 {
        3 => turn.raw(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nchunks\r\n0\r\n\r\n",
        ),
        0 => turn.answer(200, &[("Connection", "close")], "length"),
        1 => {
            turn.raw("HTTP/1.1 200 OK\r\n\r\nuntil the end");
            turn.close();
        }
        _ => {
            turn.raw("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold");
            turn.close();
        }
    }
    });
    let mut client = gateway.client();
    for _ in 0..3 {
        for text in ["length", "until the end", "old", "chunks"] {
            let answer = client.get("/api/x");
            assert_eq!((answer.status, answer.text().as_str(), answer.complete), (200, text, true));
        }
    }
    assert_eq!(origin.connections(), 12);
}

#[test]
fn bytes_after_an_answer_are_nobodys_answer() {
    let (_origin, gateway) = before(|turn| {
        let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked";
        let answer = match turn.number() % 2 {
            0 => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            _ => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        };
        turn.raw(format!("{answer}{extra}"));
    });
    let mut client = gateway.client();
    for _ in 0..20 {
        let answer = client.get("/api/x");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[test]
fn a_body_is_never_sent_again_in_part() {
    // s-081
    let (origin, gateway) = before(|turn| {
        turn.read_body();
        if turn.number() == 0 { turn.close() } else { turn.echo() }
    });
    let answer = gateway.request("PUT", "/api/doc", &[], b"hello world");
    assert!([200, 502].contains(&answer.status));
    for seen in origin.requests() {
        assert_eq!(seen.text(), "hello world");
    }
}

// ---- answers

#[test]
fn an_early_answer_is_passed_on() {
    // s-090
    let (_origin, gateway) = before(|turn| {
        turn.answer_early(403, &[("Connection", "close")], "no");
        if turn.request().target() == "/reset" { turn.finish() } else { turn.close() }
    });
    for target in ["/api/drain", "/api/reset"] {
        let mut client = gateway.client();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 5000000\r\n\r\n"));
        for _ in 0..16 {
            // The gateway may stop reading once it has the answer.
            if client.try_send([b'x'; 64 * 1024]).is_err() {
                break;
            }
        }
        let answer = client.read();
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"), "{target}");
    }
}

#[test]
fn heads_without_bodies_keep_their_length() {
    // s-092, s-093, H16
    let (_origin, gateway) = before(|turn| match turn.request().method() {
        "HEAD" => turn.answer(200, &[], vec![b'x'; 1234]),
        "DELETE" => turn.raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "PUT" => turn.raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n"),
        _ => turn.answer(200, &[], vec![b'x'; 1234]),
    });
    let mut client = gateway.client();
    let head = client.request("HEAD", "/api/f", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1234")));
    assert_eq!(client.get("/api/f").body.len(), 1234);
    let empty = client.request("DELETE", "/api/f", &[], b"");
    assert_eq!(
        (empty.status, empty.headers.has("transfer-encoding"), empty.headers.has("content-length")),
        (204, false, false)
    );
    let same = client.request("PUT", "/api/f", &[], b"");
    assert_eq!(
        (same.status, same.header("etag"), same.headers.has("transfer-encoding")),
        (304, Some("\"a\""), false)
    );
    assert_eq!(client.get("/api/f").body.len(), 1234);
}

#[test]
fn statuses_and_coded_bodies_pass_unchanged() {
    // H24, H28
    let (_origin, gateway) = before(|turn| {
        let status = turn.request().target().trim_start_matches('/').parse().unwrap();
        turn.answer(status, &[("Content-Encoding", "gzip"), ("Content-Type", "x/y")], [0x1f, 0x8b, 0, 0xff]);
    });
    let mut client = gateway.client();
    for status in [200, 201, 206, 400, 404, 409, 418, 429, 500, 502, 503, 599] {
        let answer = client.get(&format!("/api/{status}"));
        assert_eq!((answer.status, answer.body.as_slice()), (status, &[0x1f, 0x8b, 0, 0xff][..]));
        assert_eq!(
            (answer.header("content-encoding"), answer.header("content-type")),
            (Some("gzip"), Some("x/y"))
        );
        assert!(answer.headers.has("x-request-id"));
    }
}

#[test]
fn interim_answers_do_not_disturb() {
    // s-135
    let (_origin, gateway) = before(|turn| {
        turn.raw("HTTP/1.1 100 Continue\r\n\r\n");
        turn.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        turn.answer(200, &[], "ok");
    });
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/api/x");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert!(answer.interim.iter().all(|status| *status == 103), "{:?}", answer.interim);
    }
}

#[test]
fn interim_answers_without_end_are_no_answer() {
    let (_origin, gateway) = before(|turn| {
        turn.raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4000));
        turn.answer(200, &[], "ok");
        turn.close();
    });
    assert_eq!(gateway.get("/api/x").problem(502), "upstream failure");
}

#[test]
fn trailers_of_an_answer_pass() {
    let (_origin, gateway) = before(|turn| {
        turn.read_body();
        turn.chunked(200, &[("Trailer", "x-sum")]);
        turn.chunk("hello");
        turn.last_chunk(&[("X-Sum", "5"), ("Set-Cookie", "a=1"), ("Content-Length", "9")]);
    });
    let answer = gateway.request("GET", "/api/x", &[("TE", "trailers")], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    // Passed, or dropped together with their announcement.
    assert!(answer.trailers.has("x-sum") || !answer.headers.has("trailer"));
    assert!(!answer.trailers.has("content-length"));
}

#[test]
fn where_it_points_inside_a_location_is_made_public() {
    // H25, H26, H27
    let origin = Origin::serve(|turn| {
        let port = turn
            .request()
            .header("host")
            .and_then(|host| host.rsplit(':').next().map(str::to_owned))
            .unwrap();
        let location = match turn.request().target() {
            "/absolute" => format!("http://localhost:{port}/next?a=1"),
            "/relative" => "/next".to_owned(),
            "/near" => "next".to_owned(),
            "/address" => format!("http://127.0.0.1:{port}/"),
            _ => "https://elsewhere.test/next".to_owned(),
        };
        let (refresh, link) = (format!("0; url={location}"), format!("<{location}>; rel=\"next\""));
        let headers = [
            ("Location", location.as_str()),
            ("Content-Location", location.as_str()),
            ("Refresh", refresh.as_str()),
            ("Link", link.as_str()),
            ("Set-Cookie", "a=1; Domain=localhost; Path=/; HttpOnly"),
            ("Set-Cookie", "b=2"),
            ("Server", "inner/1.0"),
            ("X-Powered-By", "Express"),
            ("Via", "1.1 inner"),
        ];
        turn.answer(302, &headers, "");
    });
    let config = format!(
        "
        upstreams: {{ users: {{ url: http://localhost:{} }} }}
        routes: {{ /api/users/*: {{ upstream: users, rewrite: / }} }}
        ",
        origin.address().port()
    );
    let gateway = Gateway::start(&[], &config);
    for (target, locations) in [
        ("absolute", &["http://gw.test/api/users/next?a=1"][..]),
        ("relative", &["/api/users/next", "http://gw.test/api/users/next"]),
        ("near", &["next"]),
        ("address", &["http://gw.test/api/users/", "/api/users/"]),
        ("foreign", &["https://elsewhere.test/next"]),
    ] {
        let answer = gateway.get(&format!("/api/users/{target}"));
        assert_eq!(answer.status, 302);
        assert!(locations.contains(&answer.header("location").unwrap()), "{target}: {:?}", answer.headers);
        let location = answer.header("location").unwrap();
        assert_eq!(answer.header("content-location"), Some(location));
        assert_eq!(answer.header("refresh"), Some(&*format!("0; url={location}")));
        // A link that is no whole URL stays as it is.
        let link = if location.starts_with('/') { "/next" } else { location };
        assert_eq!(answer.header("link"), Some(&*format!("<{link}>; rel=\"next\"")));
        let cookies = answer.headers.all("set-cookie");
        assert_eq!(cookies, ["a=1; Domain=gw.test; Path=/; HttpOnly", "b=2"]);
        for name in ["server", "x-powered-by", "via"] {
            assert!(!answer.headers.has(name), "{:?}", answer.headers);
        }
    }
}

#[test]
fn a_location_is_made_public_with_the_scheme_of_the_client() {
    let origin = Origin::serve(|turn| {
        let host = turn.request().header("host").unwrap().to_owned();
        turn.answer(302, &[("Location", &format!("http://{host}/next"))], "");
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listen: 127.0.0.1:0
        trusted_proxies: [127.0.0.0/8]
        routes: { /api/*: { upstream: ORIGIN1, rewrite: / } }
        ",
    );
    for (proto, location) in [("https", "https://gw.test/api/next"), ("http", "http://gw.test/api/next")] {
        let answer = gateway.request("GET", "/api/x", &[("X-Forwarded-Proto", proto)], b"");
        assert_eq!((answer.status, answer.header("location")), (302, Some(location)));
    }
}

// ---- streams

#[test]
fn bodies_stream_both_ways() {
    let (first, second) = (Gate::new(), Gate::new());
    let (wait_first, wait_second) = (first.clone(), second.clone());
    let origin = Origin::serve(move |turn| {
        if turn.request().method() == "POST" {
            // Sees the beginning of the upload before its end was sent.
            let bytes = turn.read_raw(10);
            assert_eq!(bytes, b"5\r\nhello\r\n");
            wait_first.open();
            turn.echo();
        } else {
            turn.chunked(200, &[]);
            turn.chunk("one");
            turn.wait(&wait_second);
            turn.chunk("two");
            turn.last_chunk(&[]);
        }
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send("POST /api/x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    first.wait();
    client.send("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(client.read().json()["body"], " world");
    client.send("GET /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert_eq!(client.read_head().0, 200);
    assert_eq!(client.read_bytes(8), b"3\r\none\r\n");
    second.open();
    assert_eq!(client.read_bytes(13), b"3\r\ntwo\r\n0\r\n\r\n");
}

const BIG: u64 = 64 << 20;

/// Bounds on silence that are shorter than the pauses below: whoever waits for a slow other side is not silent.
const WIDE: &str = "
    listeners:
      default: { listen: 127.0.0.1:0, limits: { body: 128MiB, body_timeout: 2s } }
    upstreams:
      service: { url: ORIGIN1, timeouts: { response: 2s, idle: IDLE } }
    routes:
      /api/*: { upstream: service, rewrite: /, timeout: 60s }
";

/// Keeps asking on another connection, for longer than those bounds.
fn pause(gateway: &Gateway) {
    let mut other = gateway.client();
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        assert_eq!(other.get("/api/x").status, 200);
    }
}

/// Bytes that no shift or loss leaves the same: block number `n` of a big body.
fn block(n: u64) -> Vec<u8> {
    (0..8192_u64)
        .flat_map(|word| (n << 13 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn digest_of(length: u64) -> Digest {
    let mut digest = Digest::default();
    for n in 0..length >> 16 {
        digest.add(&block(n));
    }
    digest
}

#[test]
fn a_big_upload_waits_for_a_slow_service_in_bounded_memory() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() != "/big" {
            return turn.echo();
        }
        turn.wait(&held);
        let digest = turn.body_digest();
        turn.answer_early(200, &[], format!("{digest:?}"));
    });
    // A service that takes nothing is the silent side: its own gap is the longer one here.
    let gateway = Gateway::start(&[&origin], &WIDE.replace("IDLE", "20s"));
    let sent = Arc::new(AtomicU64::new(0));
    let mut client = gateway.client();
    let counter = Arc::clone(&sent);
    let upload = std::thread::spawn(move || {
        client.send(format!("POST /api/big HTTP/1.1\r\nHost: gw.test\r\nContent-Length: {BIG}\r\n\r\n"));
        for n in 0..BIG >> 16 {
            client.send(block(n));
            counter.fetch_add(1 << 16, Ordering::SeqCst);
        }
        client.read()
    });
    origin.wait_count(1);
    pause(&gateway);
    assert!(sent.load(Ordering::SeqCst) < BIG, "what the service does not read is not taken from the client");
    gate.open();
    let answer = upload.join().unwrap();
    assert_eq!((answer.status, answer.text()), (200, format!("{:?}", digest_of(BIG))));
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
}

#[test]
fn a_big_answer_waits_for_a_slow_client_in_bounded_memory() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::serve(move |turn| {
        if turn.request().target() != "/big" {
            return turn.echo();
        }
        turn.raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"));
        for n in 0..BIG >> 16 {
            turn.raw(block(n));
            counter.fetch_add(1 << 16, Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&[&origin], &WIDE.replace("IDLE", "2s"));
    let mut client = gateway.client();
    client.send("GET /api/big HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let (status, headers) = client.read_head();
    assert_eq!((status, headers.one("content-length")), (200, Some(BIG.to_string().as_str())));
    pause(&gateway);
    assert!(sent.load(Ordering::SeqCst) < BIG, "what the client does not read is not taken from the service");
    let mut digest = Digest::default();
    for _ in 0..BIG >> 16 {
        digest.add(&client.read_bytes(1 << 16));
    }
    assert_eq!(digest, digest_of(BIG));
    assert!(gateway.peak_memory() < 64, "{} MiB", gateway.peak_memory());
    assert_eq!(client.get("/api/x").status, 200, "the connection serves on");
}
