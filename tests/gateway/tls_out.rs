//! TLS towards services: who is believed, what a failed handshake comes to, what is resumed and what never is.

use std::io::{Read, Write};
use std::net::TcpListener;

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::pki::Pki;
use crate::support::tls_origin::TlsOrigin;
use crate::support::{Gateway, until};

/// An upstream `u` at `/`, with these keys of its `tls`.
fn upstream(url: &str, tls: &str, more: &str) -> String {
    format!(
        "upstreams: {{ u: {{ url: '{url}', tls: {{ {tls} }}{more} }} }}\nroutes: {{ /*: {{ upstream: u }} }}\n"
    )
}

/// The same, which trusts the CA of the test.
fn trusting(pki: &Pki, url: &str, more: &str) -> String {
    upstream(url, &format!("ca: '{}'", pki.text("ca.pem")), more)
}

#[test]
fn a_service_is_believed_by_its_ca_and_by_its_host() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:localhost,DNS:users.internal,IP:127.0.0.1");
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::echo(pki.serving("leaf", &[version], false));
        let port = origin.address().port();
        let ca = pki.text("ca.pem");
        let named = format!("https://localhost:{port}");
        let cases = [
            // By name, which is asked for; by address, which no client asks for (RFC 6066 section 3).
            (trusting(&pki, &named, ""), Some("localhost"), format!("localhost:{port}")),
            (trusting(&pki, &origin.url(), ""), None, format!("127.0.0.1:{port}")),
            (
                upstream(&origin.url(), &format!("ca: '{ca}', server_name: users.internal"), ""),
                Some("users.internal"),
                format!("127.0.0.1:{port}"),
            ),
            (
                upstream(&named, &format!("ca: '{ca}', server_name: 127.0.0.1"), ""),
                None,
                format!("localhost:{port}"),
            ),
        ];
        for (at, (config, name, host)) in cases.into_iter().enumerate() {
            let gateway = Gateway::start(&[], &config);
            let mut client = gateway.client();
            for path in ["/a", "/b"] {
                let answer = client.get(path);
                assert_eq!(answer.status, 200, "{config}\n{}", gateway.stderr());
                let head = answer.text();
                assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
                assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
                assert!(head.contains("\r\nx-forwarded-proto: http\r\n"), "that of the client: {head}");
            }
            let agreed = origin.agreed();
            assert_eq!(agreed.len(), at + 1, "one connection for both: {agreed:?}");
            assert_eq!((agreed[at].name.as_deref(), agreed[at].alpn.as_str()), (name, "http/1.1"));
            let version = if version.version == TLS12.version {
                ProtocolVersion::TLSv1_2
            } else {
                ProtocolVersion::TLSv1_3
            };
            assert_eq!((agreed[at].version, agreed[at].certified), (version, false));
        }
    }
}

#[test]
fn bodies_pass_both_ways() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    // A body that is larger than any record and than any buffer of a socket.
    let large = "0123456789abcdef".repeat(1 << 18);
    let body = large.clone();
    let secure = TlsOrigin::serve(pki.server("leaf"), move |talk| {
        let chunked = body
            .as_bytes()
            .chunks(60_000)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()));
        let whole: String = chunked.collect();
        talk.say(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{whole}0\r\n\r\n"));
    });
    let gateway = Gateway::start(&[], &trusting(&pki, &secure.url(), ""));
    let answer = gateway.get("/");
    assert!(answer.complete && answer.text() == large, "{} bytes", answer.body.len());
}

/// What makes a handshake fail, and a part of what the log says of it.
#[test]
fn a_service_that_is_not_believed_gets_nothing_and_the_log_says_why() {
    let (pki, stranger, renewed) = (Pki::new(), Pki::called("stranger"), Pki::new());
    let host = "IP:127.0.0.1";
    pki.issue("good", host);
    pki.issue("other", "DNS:orders.internal");
    pki.expired("old", host);
    pki.self_signed("selfish", host);
    let (ca, own) = (format!("ca: '{}'", pki.text("ca.pem")), format!("ca: '{}'", pki.text("selfish.pem")));
    let strange = format!("ca: '{}'", stranger.text("ca.pem"));
    let renewed = format!("ca: '{}'", renewed.text("ca.pem"));
    for (certificate, asks, tls, why) in [
        (
            "good",
            false,
            strange.as_str(),
            "signed by an unknown issuer: name the CA that signed it in `tls.ca`",
        ),
        ("good", false, &renewed, "not signed by the CA of that name in `tls.ca`: has the CA been renewed?"),
        ("old", false, &ca, "its certificate has expired"),
        (
            "other",
            false,
            &ca,
            "not for `127.0.0.1`, but for `orders.internal`: write the one that is meant in `tls.server_name`",
        ),
        (
            "selfish",
            false,
            &own,
            "that of a CA (CA:TRUE), which is not taken for a server's own. `openssl req -x509` makes",
        ),
        (
            "good",
            false,
            &format!("{ca}, server_name: users.internal"),
            "not for `users.internal`, but for `127.0.0.1`",
        ),
    ] {
        let origin = TlsOrigin::echo(pki.serving(certificate, &[&TLS12, &TLS13], asks));
        let gateway = Gateway::start(&[], &upstream(&origin.url(), tls, ""));
        for method in ["GET", "POST"] {
            let answer = gateway.request(method, "/secret", &[], b"");
            assert_eq!(answer.problem(502), "upstream failure", "{certificate}");
            let shown = format!("{:?} {}", answer.headers, answer.text());
            for hidden in ["127.0.0.1", "TLS", "certificate", "issuer", "internal"] {
                assert!(!shown.contains(hidden), "{hidden} in {shown}");
            }
        }
        gateway.wait_stderr("TLS: ");
        assert!(gateway.stderr().contains(why), "{why}\n{}", gateway.stderr());
        let log = gateway.log(2);
        assert_eq!(log[0]["reason"], "connect", "{log:#?}");
        assert_eq!(origin.requests(), Vec::<String>::new(), "nothing was sent");
    }
    // A certificate that signs itself is taken where it says that it is none of a CA.
    pki.self_signed_leaf("alone", host);
    let origin = TlsOrigin::echo(pki.server("alone"));
    let gateway =
        Gateway::start(&[], &upstream(&origin.url(), &format!("ca: '{}'", pki.text("alone.pem")), ""));
    assert_eq!(gateway.get("/").status, 200, "{}", gateway.stderr());
}

#[test]
fn a_service_that_speaks_no_tls_is_a_failed_connection() {
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let gateway = Gateway::start(&[], &trusting(&pki, &plain, ""));
    assert_eq!(gateway.get("/").problem(502), "upstream failure");
    gateway.wait_stderr("it does not speak TLS; is its URL `http://`?");
    // One that ends the connection at once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closing = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let gateway = Gateway::start(&[], &trusting(&pki, &closing, ""));
    assert_eq!(gateway.get("/").problem(502), "upstream failure");
    gateway.wait_stderr("closed the connection during the handshake");
}

#[test]
fn a_handshake_that_does_not_end_is_within_the_time_to_connect() {
    let pki = Pki::new();
    // The kernel takes the connection, and nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let gateway = Gateway::start(&[], &trusting(&pki, &url, ", timeouts: { connect: 100ms }"));
    assert_eq!(gateway.request("POST", "/", &[], b"x").problem(504), "upstream timeout");
}

#[test]
fn the_system_is_trusted_where_no_ca_is_written() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let config = format!("routes: {{ /*: {{ upstream: '{}' }} }}", origin.url());
    let gateway = Gateway::prepare(&[])
        .env("SSL_CERT_DIR", "")
        .env("SSL_CERT_FILE", &pki.text("ca.pem"))
        .start(&config);
    assert_eq!(gateway.get("/").status, 200, "{}", gateway.stderr());
    let stranger = Pki::called("stranger");
    let gateway = Gateway::prepare(&[])
        .env("SSL_CERT_DIR", "")
        .env("SSL_CERT_FILE", &stranger.text("ca.pem"))
        .start(&config);
    assert_eq!(gateway.get("/").status, 502);
    gateway.wait_stderr("unknown issuer");
    // Without anybody to trust, no service can be believed.
    let refused =
        Gateway::prepare(&[]).file("empty.pem", "").env("SSL_CERT_DIR", "").env("SSL_CERT_FILE", "empty.pem");
    let output = refused.run(&["check", "-c", "CONFIG"], &config);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("nobody is trusted to certify this service"), "{said}");
}

#[test]
fn nothing_is_verified_only_where_that_is_written_and_it_is_said() {
    let pki = Pki::new();
    pki.expired("old", "DNS:orders.internal");
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::echo(pki.serving("old", &[version], false));
        let config = upstream(&origin.url(), "verify: false", "");
        let gateway = Gateway::start(&[], &config);
        assert_eq!(gateway.get("/").status, 200, "{}", gateway.stderr());
        let warning = "the certificate of this service is not verified";
        assert!(gateway.stderr().contains(warning), "{}", gateway.stderr());
        let output = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &config);
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(warning), "{said}");
    }
}

#[test]
fn the_gateway_shows_its_own_certificate_where_it_is_asked_for() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    pki.issue("gateway", "DNS:gateway.internal");
    let ca = format!("ca: '{}'", pki.text("ca.pem"));
    let identity =
        format!("{ca}, certificate: '{}', key: '{}'", pki.text("gateway.pem"), pki.text("gateway.key"));
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::echo(pki.serving("leaf", &[version], true));
        let gateway = Gateway::start(&[], &upstream(&origin.url(), &identity, ""));
        assert_eq!(gateway.get("/").status, 200, "{}", gateway.stderr());
        assert!(origin.agreed()[0].certified);
        let gateway = Gateway::start(&[], &upstream(&origin.url(), &ca, ""));
        assert_eq!(gateway.get("/").problem(502), "upstream failure");
        until("the server has refused it", || !origin.failed().is_empty());
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_at_load() {
    let pki = Pki::new();
    pki.issue("one", "DNS:a.test");
    pki.issue("two", "DNS:b.test");
    pki.encrypted_key("locked", "one");
    let ca = pki.text("ca.pem");
    for (certificate, key, why) in [
        ("one.pem", "two.key", "this is not the key of the certificate"),
        ("one.pem", "locked.key", "this key is encrypted"),
        ("one.key", "one.key", "this file holds no certificate"),
        ("one.pem", "one.pem", "this file holds no private key"),
    ] {
        let tls = format!("ca: '{ca}', certificate: '{}', key: '{}'", pki.text(certificate), pki.text(key));
        let output =
            Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &upstream("https://a.test", &tls, ""));
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(why), "{why}\n{said}");
    }
}

#[test]
fn a_request_that_was_never_sent_goes_to_another_endpoint() {
    let pki = Pki::new();
    pki.issue("good", "IP:127.0.0.1");
    pki.issue("bad", "DNS:elsewhere");
    let (bad, good) = (TlsOrigin::echo(pki.server("bad")), TlsOrigin::echo(pki.server("good")));
    let config = format!(
        "upstreams: {{ u: {{ endpoints: ['{}', '{}'], balance: round_robin, retry: {{ attempts: 1 }}, \
         tls: {{ ca: '{}' }} }} }}\nroutes: {{ /*: {{ upstream: u }} }}\n",
        bad.url(),
        good.url(),
        pki.text("ca.pem")
    );
    let gateway = Gateway::start(&[], &config);
    for _ in 0..6 {
        assert_eq!(gateway.request("POST", "/", &[], b"once").status, 200, "{}", gateway.stderr());
    }
    assert_eq!((bad.requests().len(), good.requests().len()), (0, 6));
    until("the first has been tried", || !bad.failed().is_empty());
}

#[test]
fn a_kept_connection_that_the_service_ends_is_no_failure() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    for end in ["close", "cut"] {
        // The second request on a connection meets one that ends: it goes out once more, on another.
        let origin = TlsOrigin::serve(pki.server("leaf"), move |talk| match (talk.turn, end) {
            (0, _) => talk.answer("whole"),
            (_, "close") => talk.close(),
            _ => talk.cut(),
        });
        let gateway = Gateway::start(&[], &trusting(&pki, &origin.url(), ", retry: { attempts: 1 }"));
        let mut client = gateway.client();
        for number in 0..4 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.text().as_str()), (200, "whole"), "{end} {number}");
        }
        // What must not be repeated is not (RFC 9110 section 9.2.2).
        assert_eq!(client.request("POST", "/", &[], b"x").status, 502, "{end}");
    }
}

#[test]
fn an_answer_without_a_length_is_whole_only_where_tls_says_so() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::serve(pki.serving("leaf", &[version], false), |talk| {
            talk.say("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhalf");
            // Anybody on the path can end a connection of TCP (RFC 9112 section 9.8).
            if talk.head.starts_with("GET /whole") { talk.close() } else { talk.cut() }
        });
        let gateway = Gateway::start(&[], &trusting(&pki, &origin.url(), ""));
        let whole = gateway.get("/whole");
        assert!(whole.complete && whole.text() == "half");
        assert!(!gateway.get("/cut").complete, "it may not be all");
    }
}

#[test]
fn sessions_are_resumed_within_one_upstream() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    for version in [&TLS12, &TLS13] {
        let origin = TlsOrigin::serve(pki.serving("leaf", &[version], false), |talk| {
            talk.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
            talk.close();
        });
        let tls = format!("tls: {{ ca: '{}' }}", pki.text("ca.pem"));
        let config = format!(
            "upstreams: {{ a: {{ url: '{0}', {tls} }}, b: {{ url: '{0}', {tls} }} }}\n\
             routes: {{ /a: {{ upstream: a }}, /b: {{ upstream: b }} }}\n",
            origin.url()
        );
        let gateway = Gateway::start(&[], &config);
        let mut client = gateway.client();
        for path in ["/a", "/a", "/b", "/b", "/a"] {
            assert_eq!(client.get(path).status, 200, "{}", gateway.stderr());
        }
        let resumed: Vec<bool> = origin.agreed().iter().map(|agreed| agreed.resumed).collect();
        assert_eq!(resumed, [false, true, false, true, true], "{:?}", version.version);
    }
}

#[test]
fn another_section_makes_other_connections_and_the_same_one_keeps_them() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1,DNS:users.internal");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let ca = format!("ca: '{}'", pki.text("ca.pem"));
    let gateway = Gateway::start(&[], &upstream(&origin.url(), &ca, ""));
    // Several cores, a connection each: all requests of one client are of one core.
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    let reloads = |count: usize| {
        until("the reload", || {
            gateway.stderr_lines().iter().filter(|line| line.contains("reloaded")).count() == count
        });
    };
    gateway.replace_config(&upstream(&origin.url(), &ca, ", timeouts: { idle: 50s }"));
    reloads(1);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(origin.agreed().len(), 1, "the connection is as good as before");
    gateway.replace_config(&upstream(&origin.url(), &format!("{ca}, server_name: users.internal"), ""));
    reloads(2);
    assert_eq!(client.get("/").status, 200);
    let agreed = origin.agreed();
    assert_eq!((agreed.len(), agreed[1].name.as_deref()), (2, Some("users.internal")));
    assert!(!agreed[1].resumed);
}

#[test]
fn a_ca_that_changes_on_disk_is_read_anew() {
    let (pki, stranger) = (Pki::new(), Pki::called("stranger"));
    pki.issue("leaf", "IP:127.0.0.1");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let prepared = Gateway::prepare(&[]).file("ca.pem", stranger.read("ca.pem"));
    let gateway = prepared.start(&upstream(&origin.url(), "ca: ca.pem", ""));
    assert_eq!(gateway.get("/").status, 502);
    std::fs::write(gateway.folder().join("ca.pem"), pki.read("ca.pem")).unwrap();
    until("the new CA is in force", || gateway.get("/").status == 200);
    // One that cannot be read leaves the old one in force.
    std::fs::write(gateway.folder().join("ca.pem"), "no PEM").unwrap();
    gateway.wait_stderr("this file holds no PEM");
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn health_checks_speak_tls_too() {
    let pki = Pki::new();
    pki.issue("leaf", "IP:127.0.0.1");
    pki.issue("other", "DNS:elsewhere");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let health = ", health: { path: /healthz, every: 50ms, unhealthy: 1 }";
    let gateway = Gateway::start(&[], &trusting(&pki, &origin.url(), health));
    until("a check", || origin.requests().iter().any(|head| head.starts_with("GET /healthz ")));
    assert_eq!(gateway.get("/").status, 200);
    let wrong = TlsOrigin::echo(pki.server("other"));
    let gateway = Gateway::start(&[], &trusting(&pki, &wrong.url(), health));
    gateway.wait_stderr("is unhealthy: connect: TLS: its certificate is not for `127.0.0.1`");
    // gRPC is asked for as HTTP/2.
    let grpc = TlsOrigin::echo(pki.server("leaf"));
    let asks = ", health: { grpc: '', every: 50ms }";
    let _gateway = Gateway::start(&[], &trusting(&pki, &grpc.url(), asks));
    until("a check by gRPC", || grpc.agreed().iter().any(|agreed| agreed.alpn == "h2"));
    until("its preface", || grpc.requests().iter().any(|head| head.starts_with("PRI * HTTP/2.0")));
}

#[test]
fn endpoints_in_a_file_are_of_the_scheme_of_their_upstream() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:users.internal");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let config = format!(
        "upstreams: {{ u: {{ discover: {{ file: list.yaml }}, tls: {{ ca: '{}', server_name: users.internal }} }} }}\n\
         routes: {{ /*: {{ upstream: u }} }}\n",
        pki.text("ca.pem")
    );
    let gateway = Gateway::prepare(&[]).file("list.yaml", format!("['{}']", origin.url())).start(&config);
    until("the file is read", || gateway.get("/").status == 200);
    std::fs::write(gateway.folder().join("list.yaml"), format!("['http://{}']", origin.address())).unwrap();
    gateway.wait_stderr("TLS is spoken to this upstream");
    assert_eq!(gateway.get("/").status, 200, "the last list stays in use");
}

#[test]
fn a_service_that_answers_with_an_alert_is_known_for_one_that_wants_tls() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:localhost");
    let origin = TlsOrigin::echo(pki.server("leaf"));
    let url = origin.url().replace("https:", "http:");
    let gateway = Gateway::start(&[], &format!("routes: {{ /*: {{ upstream: '{url}' }} }}"));
    assert_eq!(gateway.get("/").problem(502), "upstream failure");
    let line = &gateway.log(1)[0];
    let why = "it answers with an alert of TLS: is its URL `https://`?";
    assert_eq!(line["source"], why, "{line}");
}
