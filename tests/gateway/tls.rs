//! TLS of clients: what is agreed on, who is shown which certificate, and that HTTP over it is as without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use rustls::HandshakeKind;

use crate::support::pki::{Pki, TlsClient, connect, taking_any};
use crate::support::{Answer, Client, Gateway, Origin, PATIENCE, until};

/// One listener with the certificate `web` (`a.test`), and more of `tls`.
pub(crate) fn one(pki: &Pki, more: &str, rest: &str) -> String {
    let dir = pki.dir();
    format!(
        "listeners:\n  default:\n    listen: 127.0.0.1:0\n    tls: {{ certificates: [{{ certificate: {dir}/web.pem, key: {dir}/web.key }}]{more} }}\n{rest}"
    )
}

pub(crate) fn pki() -> Pki {
    let pki = Pki::new();
    pki.issue("web", "DNS:a.test");
    pki
}

const ROUTES: &str = "routes: { /*: { upstream: ORIGIN1 } }";

/// An address that nobody has at the moment.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.78.1:0").unwrap().local_addr().unwrap()
}

/// The page of metrics.
pub(crate) fn metrics(gateway: &Gateway) -> String {
    Client::connect(gateway.admin()).request("GET", "/metrics", &[("Host", "localhost")], b"").text()
}

/// How many handshakes have ended so.
pub(crate) fn handshakes(gateway: &Gateway, outcome: &str) -> u64 {
    let page = metrics(gateway);
    let wanted = format!("outcome=\"{outcome}\"}} ");
    let mut lines = page.lines().filter(|line| line.starts_with("portcullis_tls_handshakes_total"));
    lines.find_map(|line| line.split_once(&wanted)?.1.parse().ok()).unwrap_or(0)
}

fn shown(client: &TlsClient) -> Vec<u8> {
    client.stream().conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn requests_over_tls_are_as_without_and_the_service_is_told_the_scheme() {
    let (pki, origin) = (pki(), Origin::echo());
    let gateway = Gateway::start(&[&origin], &one(&pki, "", ROUTES));
    let mut client = pki.client(gateway.address(), "a.test");
    let agreed = client.stream().conn.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(format!("{agreed:?}"), "X25519MLKEM768");
    for number in 0..3 {
        let answer = client.request("POST", &format!("/kept/{number}"), &[("Host", "a.test")], b"hello");
        assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("hello")));
        assert_eq!(origin.last().header("x-forwarded-proto"), Some("https"));
    }
    // Pipelined in one record, and one request in many.
    client.send(b"GET /one HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\r\nHost: a.test\r\n\r\n");
    for target in ["/one", "/two"] {
        assert_eq!(client.read().json()["line"], format!("GET {target} HTTP/1.1"));
    }
    for byte in b"GET /slowly HTTP/1.1\r\nHost: a.test\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.read().json()["line"], "GET /slowly HTTP/1.1");
    assert_eq!(gateway.log(6).len(), 6);
}

#[test]
fn large_bodies_pass_both_ways_and_whole() {
    let pki = pki();
    let origin = Origin::serve(|turn| {
        let body = turn.body();
        turn.answer(200, &[], &body);
    });
    let config = one(&pki, "", &format!("    limits: {{ body: 64MiB }}\n{ROUTES}"));
    let gateway = Gateway::start(&[&origin], &config);
    let body: Vec<u8> =
        (0..5_000_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut client = pki.client(gateway.address(), "a.test");
    for _ in 0..2 {
        let answer = client.request("POST", "/", &[], &body);
        assert!(answer.complete && answer.body == body, "{} of {}", answer.body.len(), body.len());
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_ends_as_tls_wants_it() {
    let pki = pki();
    let origin = Origin::serve(|turn| {
        turn.chunked(200, &[]);
        turn.chunk("all ");
        turn.chunk("of it");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&origin], &one(&pki, "", ROUTES));
    let client = pki.client(gateway.address(), "a.test");
    let mut stream = client.into_stream();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut all = Vec::new();
    // An end without close_notify would be an error here.
    stream.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(b"\r\n\r\nall of it"), "{}", String::from_utf8_lossy(&all));
}

fn curl(pki: &Pki, address: SocketAddr, arguments: &[&str]) -> String {
    let port = address.port();
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{http_version}",
        "--cacert",
    ]);
    command.arg(pki.path("ca.pem")).args(["--resolve", &format!("a.test:{port}:127.0.0.1")]);
    let done = command.args(arguments).arg(format!("https://a.test:{port}/")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn the_protocol_is_agreed_on_or_shown_by_the_first_bytes() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", "routes: { /: { respond: { body: x } } }"));
    let ask = |arguments: &[&str]| curl(&pki, gateway.address(), arguments);
    assert_eq!(ask(&["--http2"]), "200 2");
    assert_eq!(ask(&["--http1.1"]), "200 1.1");
    assert_eq!(ask(&["--no-alpn"]), "200 1.1");
    assert_eq!(ask(&["--tls-max", "1.2"]), "200 2");
    // Who has agreed on HTTP/1.1 cannot go on with HTTP/2.
    let mut config = pki.trusting(None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut client = connect(gateway.address(), "a.test", &Arc::new(config)).unwrap();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!([400, 505].contains(&client.read().status));
}

#[test]
fn the_oldest_version_is_kept_to() {
    let pki = pki();
    let config =
        one(&pki, ", min: tls1.3", "admin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }");
    let gateway = Gateway::start(&[], &config);
    let old = Arc::new(taking_any(&[&rustls::version::TLS12]));
    assert!(connect(gateway.address(), "a.test", &old).is_err());
    until("it is counted", || handshakes(&gateway, "no_agreement") == 1);
    assert_eq!(pki.client(gateway.address(), "a.test").get("/").status, 200);
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let pki = pki();
    pki.issue("wild", "DNS:*.b.test");
    pki.issue("exact", "DNS:x.b.test,DNS:Y.b.test");
    let rsa = ["-newkey", "rsa:2048"];
    pki.issue_as("rsa", "DNS:x.b.test", "ca", "9", &rsa);
    let dir = pki.dir();
    let pairs: Vec<String> = ["web", "wild", "exact", "rsa"]
        .map(|name| format!("{{ certificate: {dir}/{name}.pem, key: {dir}/{name}.key }}"))
        .into();
    let gateway = Gateway::start(
        &[],
        &format!(
            "listeners: {{ default: {{ listen: 127.0.0.1:0, tls: {{ certificates: [{}] }} }} }}\nroutes: {{ /: {{ respond: {{ body: x }} }} }}",
            pairs.join(", ")
        ),
    );
    let any = Arc::new(taking_any(rustls::ALL_VERSIONS));
    for (name, certificate) in [
        ("a.test", "web"),
        ("x.b.test", "exact"),
        ("y.b.test", "exact"),
        ("z.b.test", "wild"),
        // A star is one label.
        ("z.z.b.test", "web"),
        ("b.test", "web"),
        ("elsewhere.test", "web"),
        // No name is asked for.
        ("127.0.0.1", "web"),
    ] {
        let mut client = connect(gateway.address(), name, &any).unwrap();
        assert_eq!(shown(&client), pki.der(certificate).to_vec(), "{name}");
        // The certificates are of one listener: any host may be asked for.
        assert_eq!(client.request("GET", "/", &[("Host", "whatever.test")], b"").status, 200);
    }
}

#[test]
fn a_client_comes_back_by_its_ticket() {
    let pki = pki();
    let routes = "admin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }";
    let gateway = Gateway::start(&[], &one(&pki, "", routes));
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let config = Arc::new(taking_any(versions));
        let kinds: Vec<_> = (0..3)
            .map(|_| {
                let mut client = connect(gateway.address(), "a.test", &config).unwrap();
                assert_eq!(client.get("/").status, 200);
                client.stream().conn.handshake_kind().unwrap()
            })
            .collect();
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1..], [HandshakeKind::Resumed; 2]);
    }
    until("they are counted", || handshakes(&gateway, "resumed") == 4);
    assert_eq!(handshakes(&gateway, "full"), 2);
}

/// Listeners on one address: two certificates, one that knows its clients, and one that speaks no TLS 1.2.
fn three(pki: &Pki, address: SocketAddr) -> String {
    let dir = pki.dir();
    let tls =
        |name: &str| format!("certificates: [{{ certificate: {dir}/{name}.pem, key: {dir}/{name}.key }}]");
    format!(
        "listeners:\n  a: {{ listen: '{address}', hosts: [a.test], tls: {{ {} }} }}\n  b: {{ listen: '{address}', hosts: [b.test], tls: {{ {} }} }}\n  c: {{ listen: '{address}', hosts: [c.test], tls: {{ {}, client_ca: {dir}/ca.pem }} }}\n  d: {{ listen: '{address}', hosts: [d.test], tls: {{ {}, min: tls1.3 }} }}\nroutes: {{ /: {{ respond: {{ body: {{ is: '{{listener}}' }} }} }} }}\n",
        tls("web"),
        tls("other"),
        tls("web"),
        tls("web"),
    )
}

#[test]
fn a_request_for_a_host_with_other_terms_is_misdirected() {
    let pki = pki();
    pki.issue("other", "DNS:b.test");
    let address = free();
    let _gateway = Gateway::start(&[], &three(&pki, address));
    let any = Arc::new(taking_any(rustls::ALL_VERSIONS));
    let ask = |client: &mut TlsClient, host: &str| client.request("GET", "/", &[("Host", host)], b"");
    let is = |answer: Answer| answer.json()["is"].as_str().unwrap_or_default().to_owned();
    let mut client = connect(address, "b.test", &any).unwrap();
    assert_eq!(shown(&client), pki.der("other").to_vec());
    assert_eq!(is(ask(&mut client, "b.test")), "b");
    assert_eq!(ask(&mut client, "a.test").problem(421), "misdirected request");
    assert_eq!(is(ask(&mut client, "b.test")), "b", "the connection goes on");
    // No name was asked for: other certificates are no matter, other clients are.
    let mut client = connect(address, "127.0.0.1", &any).unwrap();
    assert_eq!(is(ask(&mut client, "a.test")), "a");
    assert_eq!(is(ask(&mut client, "b.test")), "b");
    assert_eq!(ask(&mut client, "c.test").problem(421), "misdirected request");
    let mut client = connect(address, "a.test", &any).unwrap();
    assert_eq!(is(ask(&mut client, "d.test")), "d", "the version is new enough, the certificate the same");
    // An older version is no way round the one that a host asks for.
    let old = Arc::new(taking_any(&[&rustls::version::TLS12]));
    for name in ["a.test", "127.0.0.1"] {
        let mut client = connect(address, name, &old).unwrap();
        assert_eq!(is(ask(&mut client, "a.test")), "a");
        assert_eq!(ask(&mut client, "d.test").problem(421), "misdirected request");
    }
    // Who has proven who he is may not pass for nobody, either.
    pki.issue("me", "DNS:me.test");
    let known = Arc::new(pki.trusting(Some("me")));
    let mut client = connect(address, "a.test", &known).unwrap();
    assert_eq!(ask(&mut client, "c.test").problem(421), "misdirected request");
}

#[test]
fn junk_behind_a_refusal_is_thrown_away() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", "routes: { /x: { respond: { body: x } } }"));
    let any = Arc::new(taking_any(rustls::ALL_VERSIONS));
    let mut client = connect(gateway.address(), "a.test", &any).unwrap();
    client.send("PUT /nope HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\nabc");
    assert_eq!(client.read().status, 404);
    // A record that nobody can open, behind the end that the gateway has announced.
    let junk = [&[0x17, 3, 3, 0, 64][..], &[7; 64][..]].concat();
    let mut socket = &client.stream().sock;
    socket.write_all(&junk).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let ended = socket.read_to_end(&mut Vec::new());
    assert!(ended.is_ok(), "not reset");
    assert_eq!(connect(gateway.address(), "a.test", &any).unwrap().get("/x").text(), "x");
    assert!(!gateway.stderr().contains("panicked"), "{}", gateway.stderr());
}

#[test]
fn clients_are_asked_for_a_certificate() {
    let pki = pki();
    pki.issue("me", "DNS:me.test");
    pki.authority("stranger");
    pki.issue_as("fake", "DNS:me.test", "stranger", "9", &["-newkey", "rsa:2048"]);
    let dir = pki.dir();
    for (auth, without) in
        [("", false), (", client_auth: required", false), (", client_auth: optional", true)]
    {
        let routes = "admin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }";
        let gateway = Gateway::start(&[], &one(&pki, &format!(", client_ca: {dir}/ca.pem{auth}"), routes));
        // In TLS 1.3 the refusal comes behind the handshake.
        let served = |own: Option<&str>| {
            let config = Arc::new(pki.trusting(own));
            let Ok(mut client) = connect(gateway.address(), "a.test", &config) else { return false };
            let _ = client.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client.try_read_for("GET").is_ok_and(|answer| answer.status == 200)
        };
        assert!(served(Some("me")), "{auth}");
        assert_eq!(served(None), without, "{auth}");
        assert!(!served(Some("fake")), "{auth}");
        let refused = if without { 1 } else { 2 };
        until("they are counted", || handshakes(&gateway, "certificate") == refused);
    }
}

#[test]
fn a_handshake_that_comes_to_nothing_is_counted_and_no_more() {
    let pki = pki();
    let rest = "    limits: { handshake_timeout: 300ms }\nadmin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }";
    let gateway = Gateway::start(&[], &one(&pki, "", rest));
    let mut silent = Client::connect(gateway.address());
    let mut begun = Client::connect(gateway.address());
    begun.send([22, 3, 1, 2, 0, 1, 0]);
    assert!(silent.closed() && begun.closed());
    until("both are counted", || handshakes(&gateway, "timeout") == 2);
    assert!(Client::connect(gateway.address()).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").closed());
    until("what is no TLS is counted", || handshakes(&gateway, "not_tls") == 1);
    drop(Client::connect(gateway.address()));
    let mut leaves = Client::connect(gateway.address());
    leaves.send([22, 3, 1, 2, 0, 1, 0]);
    drop(leaves);
    until("those who left are counted", || handshakes(&gateway, "left") == 2);
    // One who does not trust the certificate says so.
    pki.authority("ca");
    assert!(connect(gateway.address(), "a.test", &Arc::new(pki.trusting(None))).is_err());
    until("it is counted", || handshakes(&gateway, "alert") == 1);
    assert!(!gateway.stderr().contains("handshake"), "{}", gateway.stderr());
    let any = Arc::new(taking_any(rustls::ALL_VERSIONS));
    assert_eq!(connect(gateway.address(), "a.test", &any).unwrap().get("/").status, 200);
}

#[test]
fn handshakes_under_way_are_bounded_and_served_connections_do_not_count() {
    let pki = pki();
    let rest = "    limits: { handshakes: 1 }\nadmin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }";
    let gateway = Gateway::start(&[], &one(&pki, "", rest));
    let mut kept = pki.client(gateway.address(), "a.test");
    assert_eq!(kept.get("/").status, 200);
    let mut held = Client::connect(gateway.address());
    held.send([22, 3, 1]);
    // Whichever of the two comes first: the other is closed at once.
    let mut refused = Client::connect(gateway.address());
    until("one of them is refused", || handshakes(&gateway, "too_many") == 1);
    gateway.wait_stderr("`limits.handshakes` (1) is reached");
    assert_eq!(kept.get("/").status, 200);
    drop(held);
    assert!(refused.closed());
    until("there is room again", || {
        let config = Arc::new(pki.trusting(None));
        connect(gateway.address(), "a.test", &config).is_ok_and(|mut client| client.get("/").status == 200)
    });
}

#[test]
fn an_end_of_the_gateway_cuts_nobody_off() {
    let pki = pki();
    let gate = crate::support::Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.echo();
    });
    let gateway = Gateway::start(&[&origin], &one(&pki, "", ROUTES));
    let (mut busy, idle) = (pki.client(gateway.address(), "a.test"), pki.client(gateway.address(), "a.test"));
    let mut shaking = Client::connect(gateway.address());
    shaking.send([22, 3, 1]);
    busy.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    until("it is on its way", || origin.count() == 1);
    gateway.signal("TERM");
    let mut idle = idle.into_stream();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "an idle connection ends as TLS wants it");
    assert!(shaking.closed());
    gate.open();
    let answer = busy.read();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(busy.into_stream().read(&mut [0]).unwrap(), 0);
    assert!(gateway.wait_exit().success());
}

#[test]
fn a_plain_listener_sends_its_clients_to_the_other() {
    let pki = pki();
    let plain =
        "  plain: { listen: 127.0.0.1:0, routes: { /*: { redirect: { scheme: https, host: a.test } } } }\n";
    let gateway =
        Gateway::start(&[], &one(&pki, "", &format!("{plain}routes: {{ /: {{ respond: {{ body: x }} }} }}")));
    let answer = Client::connect(gateway.listener("plain")).request(
        "GET",
        "/a/b?c=d",
        &[("Host", "a.test:8080")],
        b"",
    );
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://a.test/a/b?c=d")));
    let mut client = pki.client(gateway.address(), "a.test");
    client.stream().sock.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.get("/").status, 200);
}

/// What a client hears that sends more than is read of it; nothing where its connection is reset.
fn hears(gateway: &Gateway, says: &[u8]) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let more = vec![b'x'; 256 * 1024];
    socket.write_all(says).and_then(|()| socket.write_all(&more)).ok()?;
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).ok()?;
    Some(heard)
}

#[test]
fn an_alert_can_be_read_by_a_client_that_has_sent_more() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", "routes: { /*: { respond: { body: x } } }"));
    // A first message that is none.
    let heard = hears(&gateway, &[22, 3, 1, 0, 4, 9, 9, 9, 9]);
    assert!(heard.as_ref().is_some_and(|heard| heard.starts_with(&[21, 3])), "{heard:?}");
    // One that is good, and behind it what nobody can open.
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(pki.trusting(None)), name).unwrap();
    let mut says = Vec::new();
    session.write_tls(&mut says).unwrap();
    says.extend([23, 3, 3, 0, 40]);
    let heard = hears(&gateway, &says);
    assert!(heard.as_ref().is_some_and(|heard| heard.starts_with(&[22, 3])), "{heard:?}");
}
