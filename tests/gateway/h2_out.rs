//! HTTP/2 towards services: what a request and its answer become, and that many share a session.

use bytes::Bytes;
use h2::server::Builder;

use crate::support::h2_origin::{H2Origin, head, send_all};
use crate::support::{Client, Gate, Gateway, until};

/// An upstream `u` at `/`, spoken to by prior knowledge, with these keys more.
pub(super) fn config(address: std::net::SocketAddr, more: &str) -> String {
    format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nupstreams: {{ u: {{ url: 'http://{address}', protocol: http2{more} }} }}\nroutes: {{ /*: {{ upstream: u }} }}\n"
    )
}

pub(super) fn gateway(origin: &H2Origin) -> Gateway {
    Gateway::start(&[], &config(origin.address(), ""))
}

#[test]
fn a_request_becomes_a_stream_and_its_answer_an_answer() {
    let origin = H2Origin::echo();
    let gateway = gateway(&origin);
    let mut client = gateway.client();
    let lines =
        [("X-A", "1"), ("TE", "trailers"), ("Connection", "x-b"), ("X-B", "2"), ("Cookie", "a=1; b=2")];
    let answer = client.request("GET", "/a%20b?c=%7B", &lines, b"");
    let text = answer.text();
    let first = text.lines().next().unwrap();
    assert_eq!(first, format!("GET http://{}/a%20b?c=%7B HTTP/2.0", origin.address()), "{text}");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")));
    for line in ["x-a: 1\n", "te: trailers\n", "cookie: a=1; b=2\n", "x-forwarded-proto: http\n"] {
        assert!(text.contains(line), "{line}{text}");
    }
    for name in ["connection", "x-b", "host:", "transfer-encoding", "content-length"] {
        assert!(!text.contains(&format!("\n{name}")), "{name} in {text}");
    }
    let answer = client.request("POST", "/", &[], b"hello");
    assert!(answer.text().contains("\ncontent-length: 5\n") && answer.text().ends_with("\n\nhello"));
    let answer = client.request("POST", "/", &[], b"");
    assert!(answer.text().contains("\ncontent-length: 0\n"), "{}", answer.text());
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    let answer = client.read();
    assert!(!answer.text().contains("content-length") && answer.text().ends_with("\n\nabcde"));
    let answer = client.request("HEAD", "/", &[], b"");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!((origin.connections(), origin.requests().len()), (1, 5), "one session carried them all");
}

#[test]
fn large_bodies_pass_both_ways() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        let body = Bytes::from(call.body().await);
        let mut stream = call.reply.send_response(head(200, &[]), false).unwrap();
        send_all(&mut stream, body, true).await;
    });
    let gateway = gateway(&origin);
    let body: Vec<u8> = (0..10_000_000u32).map(|at| (at % 251) as u8).collect();
    let answer = gateway.client().request("POST", "/", &[], &body);
    assert_eq!(answer.status, 200);
    assert!(answer.complete && answer.body == body, "{} bytes", answer.body.len());
}

#[test]
fn trailers_of_an_answer_pass_and_those_that_may_not_do_not() {
    let origin = H2Origin::serve(&Builder::new(), |mut call| async move {
        let mut stream = call.reply.send_response(head(200, &[("trailer", "x-t")]), false).unwrap();
        stream.send_data("body".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        for (name, value) in [("x-t", "1"), ("content-length", "9"), ("set-cookie", "a=b")] {
            trailers.insert(name, value.parse().unwrap());
        }
        stream.send_trailers(trailers).unwrap();
    });
    let gateway = gateway(&origin);
    let answer = gateway.get("/");
    assert_eq!((answer.text().as_str(), answer.complete), ("body", true));
    assert_eq!((answer.trailers.one("x-t"), answer.trailers.one("set-cookie")), (Some("1"), None));
}

#[test]
fn a_hundred_requests_at_once_share_a_session() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = H2Origin::serve(&Builder::new(), move |mut call| {
        let held = held.clone();
        async move {
            tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
            call.answer(200, &[], "ok");
        }
    });
    let gateway = gateway(&origin);
    let mut clients: Vec<Client> = (0..100).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    until("all are there", || origin.requests().len() == 100);
    gate.open();
    assert!(clients.iter_mut().all(|client| client.read().text() == "ok"));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(origin.connections() <= cores, "{} sessions, {cores} cores", origin.connections());
}
