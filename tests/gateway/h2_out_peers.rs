//! HTTP/2 towards services that others have made: nginx and Node, with TLS and without.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::pki::Pki;
use crate::support::{Gateway, Origin, websocket};
use crate::tls_out_peers::{Peer, start};

/// nginx in front of an origin: over TLS with HTTP/2, or by prior knowledge.
fn nginx(pki: &Pki, origin: &Origin, listen: &str) -> Peer {
    start(|port| {
        let file = pki.text(&format!("{port}.conf"));
        let text = format!(
            "daemon off; pid {file}.pid; error_log {file}.log; worker_processes 1; events {{}}
             http {{
               access_log off; client_body_temp_path {file}.1; proxy_temp_path {file}.2;
               fastcgi_temp_path {file}.3; uwsgi_temp_path {file}.4; scgi_temp_path {file}.5;
               server {{
                 listen 127.0.0.1:{port} {listen}; client_max_body_size 0; keepalive_requests 3;
                 ssl_certificate {leaf}.pem; ssl_certificate_key {leaf}.key;
                 location / {{
                   proxy_pass http://{origin}; proxy_http_version 1.1;
                   proxy_set_header x-protocol $server_protocol; proxy_set_header x-host $http_host;
                   proxy_set_header upgrade $http_upgrade; proxy_set_header connection $http_connection;
                 }}
               }}
             }}",
            leaf = pki.text("leaf"),
            origin = origin.address(),
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-c", &file, "-p", &pki.text("")]);
        command
    })
}

fn gateway(pki: &Pki, scheme: &str, address: SocketAddr, more: &str) -> Gateway {
    let tls = if scheme == "https" {
        format!(", tls: {{ ca: '{}', server_name: users.internal }}", pki.text("ca.pem"))
    } else {
        String::new()
    };
    let config = format!(
        "admin: {{ listen: 127.0.0.1:0 }}\n\
         upstreams: {{ u: {{ url: '{scheme}://{address}'{tls}{more} }} }}\nroutes: {{ /*: {{ upstream: u }} }}\n"
    );
    Gateway::start(&[], &config)
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:users.internal");
    pki
}

#[test]
fn nginx_is_spoken_to_as_both_agree() {
    let (pki, origin) = (pki(), Origin::echo());
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    for (scheme, listen, protocol, spoken) in [
        ("https", "ssl http2", "auto", "HTTP/2.0"),
        ("https", "ssl http2", "http2", "HTTP/2.0"),
        ("https", "ssl http2", "http1", "HTTP/1.1"),
        ("https", "ssl", "auto", "HTTP/1.1"),
        ("http", "http2", "http2", "HTTP/2.0"),
        ("http", "", "auto", "HTTP/1.1"),
    ] {
        let peer = nginx(&pki, &origin, listen);
        let gateway = gateway(&pki, scheme, peer.address, &format!(", protocol: {protocol}"));
        let mut client = gateway.client();
        // nginx ends a session after every third request (GOAWAY): nobody notices.
        for number in 0..10 {
            let answer = client.request("POST", "/a?b", &[], b"body");
            let case = format!("{scheme} {listen} {protocol} {number}: {}", gateway.stderr());
            assert_eq!(answer.status, 200, "{case}");
            let seen = origin.last();
            assert_eq!(seen.header("x-protocol"), Some(spoken), "{case}");
            assert_eq!(seen.header("x-host"), Some(peer.address.to_string().as_str()), "{case}");
            assert_eq!((seen.line.as_str(), seen.text().as_str()), ("POST /a?b HTTP/1.1", "body"), "{case}");
        }
        assert_eq!(client.request("PUT", "/", &[], &body).status, 200);
        assert_eq!(origin.last().body.len(), body.len());
    }
    let peer = nginx(&pki, &origin, "ssl");
    let gateway = gateway(&pki, "https", peer.address, ", protocol: http2");
    gateway.get("/").problem(502);
    assert_eq!(gateway.log(1)[0]["reason"], "connect");
}

#[test]
fn node_is_spoken_to_as_both_agree() {
    const SERVER: &str = "
const http2 = require('http2'), fs = require('fs');
const [port, pem, key] = process.argv.slice(1);
const answer = (stream, headers) => {
  const parts = [];
  stream.on('data', part => parts.push(part));
  stream.on('end', () => {
    const body = Buffer.concat(parts);
    stream.respond({ ':status': 200, 'x-path': headers[':path'], 'x-authority': headers[':authority'] },
                   { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-length': String(body.length) }));
    stream.end(body);
  });
};
const options = { cert: fs.readFileSync(pem), key: fs.readFileSync(key) };
const server = key && process.env.TLS ? http2.createSecureServer(options) : http2.createServer();
server.on('stream', answer);
server.listen(Number(port), '127.0.0.1');
";
    let pki = pki();
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 241) as u8).collect();
    for (scheme, protocol) in [("https", "auto"), ("http", "http2")] {
        let peer = start(|port| {
            let mut command = Command::new("node");
            command.args(["-e", SERVER, &port.to_string(), &pki.text("leaf.pem"), &pki.text("leaf.key")]);
            if scheme == "https" {
                command.env("TLS", "1");
            }
            command
        });
        let more = format!(", protocol: {protocol}, health: {{ path: /health, every: 50ms }}");
        let gateway = gateway(&pki, scheme, peer.address, &more);
        let mut client = gateway.client();
        for size in [0, 5, 100_000, body.len()] {
            let answer = client.request("POST", "/x?y", &[], &body[..size]);
            assert_eq!(answer.status, 200, "{}", gateway.stderr());
            assert!(answer.complete && answer.body == body[..size], "{size}: {} bytes", answer.body.len());
            assert_eq!(answer.trailers.one("x-length"), Some(size.to_string().as_str()));
            assert_eq!(answer.header("x-path"), Some("/x?y"));
            assert_eq!(answer.header("x-authority"), Some(peer.address.to_string().as_str()));
        }
        let page = crate::tls::metrics(&gateway);
        assert!(page.contains("portcullis_upstream_http2{upstream=\"u\",what=\"sessions\"} 1\n"), "{page}");
        assert!(page.contains("portcullis_upstream_http2{upstream=\"u\",what=\"streams\"} 0\n"), "{page}");
        crate::support::until("its health is known", || status(&gateway)["health"] == "healthy");
        assert_eq!(status(&gateway)["http2"]["sessions"], 1);
    }
}

/// What `/status` says of the one endpoint.
fn status(gateway: &Gateway) -> serde_json::Value {
    let mut admin = crate::support::Client::connect(gateway.admin());
    let page = admin.request("GET", "/status", &[("Host", "localhost")], b"").json();
    page["upstreams"][0]["endpoints"][0].clone()
}

#[test]
fn an_upgrade_goes_out_over_http1() {
    let (pki, origin) = (pki(), websocket::echo());
    let peer = nginx(&pki, &origin, "ssl http2");
    let gateway = gateway(&pki, "https", peer.address, "");
    assert_ne!(gateway.get("/").status, 502, "a session is there");
    let answer = gateway.request(
        "GET",
        "/",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        b"",
    );
    assert_eq!(answer.status, 101, "{}", gateway.stderr());
}
