//! Interim answers of services: which clients get them, what is in them, how many. Ids in comments are cases of the
//! catalogue of behaviour.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::client::ResponseFuture;
use h2::server::Builder;

use crate::support::h2::{Session, Stream, block_on, request};
use crate::support::h2_origin::{H2Origin, head};
use crate::support::{Gate, Gateway, Origin, Turn, until};

fn gateway(origins: &[&Origin], interim: &str) -> Gateway {
    Gateway::start(
        origins,
        &format!(
            "
            listeners: {{ default: {{ listen: '127.0.0.1:0'{interim} }} }}
            upstreams:
              service: {{ url: ORIGIN1, retry: {{ attempts: 3, retry_on: [reset, 503], backoff: 0ms..1ms }} }}
            routes:
              /api/*: {{ upstream: service, rewrite: /, policies: {{ cors: {{ origins: ['https://web.test'] }} }} }}
            "
        ),
    )
}

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";

/// The next interim answer of a stream; `None` where the final one comes first.
async fn interim(answer: &mut ResponseFuture) -> Option<http::Response<()>> {
    poll_fn(|cx| answer.poll_informational(cx)).await.map(Result::unwrap)
}

#[test]
fn they_reach_clients_at_once_where_these_may_get_them() {
    // s-135
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn: &mut Turn| {
        turn.raw("HTTP/1.1 100 Continue\r\n\r\n");
        turn.raw(HINT);
        turn.raw("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 104 Upload Resumption Supported\r\nLocation: /u/1\r\n\r\n");
        if turn.request().target() == "/held" {
            turn.wait(&held);
        }
        turn.answer(200, &[("Content-Type", "text/plain")], "ok");
    });
    for (setting, http1, http2) in [
        ("", false, true),
        (", interim: http2", false, true),
        (", interim: all", true, true),
        (", interim: none", false, false),
    ] {
        let gateway = gateway(&[&origin], setting);
        let expected = |gets: bool| if gets { vec![103, 102, 104] } else { vec![] };
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/api/x");
            assert_eq!((answer.interim, answer.body), (expected(http1), b"ok".to_vec()), "{setting}");
        }
        let old = gateway.raw("GET /api/x HTTP/1.0\r\nHost: gw.test\r\n\r\n");
        assert_eq!((old.status, old.interim, old.body), (200, vec![], b"ok".to_vec()), "never to HTTP/1.0");
        block_on(async {
            let session = Session::connect(gateway.address()).await;
            let asked = session.open(request("GET", "/api/x", &[]), true).await.unwrap();
            let Stream { mut answer, body: _body } = asked;
            let mut seen = Vec::new();
            while let Some(head) = interim(&mut answer).await {
                seen.push(head.status().as_u16());
            }
            assert_eq!(seen, expected(http2), "{setting}");
            assert_eq!(answer.await.unwrap().status(), 200);
        });
    }
    // While the service is still at work.
    let gateway = gateway(&[&origin], ", interim: all");
    let mut client = gateway.client();
    client.send("GET /api/held HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    for status in [103, 102, 104] {
        assert_eq!(client.read_head().0, status);
    }
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asked = session.open(request("GET", "/api/held", &[]), true).await.unwrap();
        let Stream { mut answer, body: _body } = asked;
        for status in [103, 102, 104] {
            assert_eq!(interim(&mut answer).await.unwrap().status().as_u16(), status);
        }
        gate.open();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    assert_eq!(client.read().text(), "ok");
}

#[test]
fn they_are_cleaned_as_final_answers_are() {
    let origin = Origin::serve(|turn| {
        turn.raw(
            "HTTP/1.1 103 Early Hints\r\nLink: <http://ORIGIN/a.css>; rel=preload\r\nServer: secret\r\nVia: 1.1 inside\r\n\
             X-Powered-By: secret\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=b\r\n\
             X-Request-Id: theirs\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 5\r\nX-Passes: yes\r\n\r\n"
                .replace("ORIGIN", turn.request().header("host").unwrap()),
        );
        turn.answer(200, &[], "ok");
    });
    let gateway = gateway(&[&origin], ", interim: all");
    let mut client = gateway.client();
    for method in ["GET", "HEAD"] {
        client.send(format!("{method} /api/x HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        let (status, mut headers) = client.read_head();
        headers.0.sort_unstable();
        let lines: Vec<(&str, &str)> = headers.0.iter().map(|(name, value)| (&**name, &**value)).collect();
        let hint = "<http://gw.test/api/a.css>; rel=preload";
        assert_eq!((status, lines), (103, vec![("link", hint), ("x-passes", "yes")]));
        assert_eq!(client.read_for(method).status, 200);
    }
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asked = session.open(request("GET", "/api/x", &[]), true).await.unwrap();
        let Stream { mut answer, body: _body } = asked;
        let head = interim(&mut answer).await.unwrap();
        let mut names: Vec<&str> = head.headers().keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["link", "x-passes"]);
    });
}

#[test]
fn a_client_gets_a_bounded_number_of_them() {
    let origin = Origin::serve(|turn| {
        turn.raw("HTTP/1.1 102 Processing\r\n\r\n".repeat(300));
        turn.answer(200, &[], "ok");
    });
    let gateway = gateway(&[&origin], ", interim: all");
    let answer = gateway.get("/api/x");
    assert_eq!((answer.status, answer.interim), (200, vec![102; 16]));
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asked = session.open(request("GET", "/api/x", &[]), true).await.unwrap();
        let Stream { mut answer, body: _body } = asked;
        let mut count = 0;
        while interim(&mut answer).await.is_some() {
            count += 1;
        }
        assert_eq!(count, 16);
        assert_eq!(answer.await.unwrap().status(), 200);
    });
}

#[test]
fn they_neither_end_retries_nor_put_off_a_timeout() {
    let count = AtomicUsize::new(0);
    let origin = Origin::serve(move |turn| {
        turn.raw(HINT);
        match turn.request().target() {
            "/hangs" => turn.wait_closed(),
            _ if count.fetch_add(1, Ordering::SeqCst) == 0 => turn.reset(),
            _ => turn.answer(200, &[], "ok"),
        }
    });
    let gateway = Gateway::start(
        &[&origin],
        "
        listeners: { default: { listen: '127.0.0.1:0', interim: all } }
        upstreams:
          service: { url: ORIGIN1, retry: { attempts: 2, retry_on: [reset], backoff: 0ms..1ms } }
          short: { url: ORIGIN1, timeouts: { response: 300ms } }
        routes: { /api/*: { upstream: service, rewrite: / }, /hangs: { upstream: short } }
        ",
    );
    let answer = gateway.get("/api/x");
    assert_eq!((answer.status, answer.interim, origin.count()), (200, vec![103, 103], 2));
    let answer = gateway.get("/hangs");
    assert_eq!((answer.status, answer.interim), (504, vec![103]));
}

#[test]
fn of_a_call_that_may_be_hedged_none_is_passed_on() {
    let slow = Origin::serve(|turn| {
        turn.raw(HINT);
        turn.answer(200, &[], "ok");
    });
    let other = Origin::serve(|turn| {
        turn.raw(HINT);
        turn.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(
        &[&slow, &other],
        "
        listeners: { default: { listen: '127.0.0.1:0', interim: all } }
        upstreams: { service: { endpoints: [ORIGIN1, ORIGIN2], hedge: { after: p50, max: 100% } } }
        routes: { /*: { upstream: service } }
        ",
    );
    let mut client = gateway.client();
    // The delay is learned from answers; from then on each call may get a second attempt.
    until("calls are hedged in the end", || client.get("/x").interim.is_empty());
}

#[test]
fn those_of_a_service_over_http2_pass_as_well() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        let lines = [("link", "</a.css>; rel=preload"), ("server", "secret"), ("set-cookie", "a=b")];
        for (status, lines) in [(100, &[][..]), (103, &lines), (102, &[])] {
            call.reply.send_informational(head(status, lines)).unwrap();
        }
        call.answer(200, &[], "ok");
    });
    let gateway = Gateway::start(
        &[],
        &format!(
            "
            listeners: {{ default: {{ listen: '127.0.0.1:0', interim: all }} }}
            upstreams: {{ service: {{ url: 'http://{}', protocol: http2 }} }}
            routes: {{ /*: {{ upstream: service }} }}
            ",
            origin.address()
        ),
    );
    let mut client = gateway.client();
    client.send("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let (status, hint) = client.read_head();
    assert_eq!((status, hint.one("link"), hint.0.len()), (103, Some("</a.css>; rel=preload"), 1));
    assert_eq!(client.read_head().0, 102);
    assert_eq!(client.read().text(), "ok");
    block_on(async {
        let session = Session::connect(gateway.address()).await;
        let asked = session.open(request("GET", "/x", &[]), true).await.unwrap();
        let Stream { mut answer, body: _body } = asked;
        for status in [103, 102] {
            assert_eq!(interim(&mut answer).await.unwrap().status().as_u16(), status);
        }
        assert_eq!(answer.await.unwrap().status(), 200);
    });
}
