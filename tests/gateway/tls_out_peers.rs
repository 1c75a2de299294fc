//! TLS towards services that others have made: nginx, OpenSSL, Python.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::pki::Pki;
use crate::support::{Gateway, Origin, holds_within};

/// A server that is killed when dropped.
pub(super) struct Peer {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server on a free port; somebody else may take it first.
#[track_caller]
pub(super) fn start(make: impl Fn(u16) -> Command) -> Peer {
    for _ in 0..20 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = make(address.port());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it is installed");
        let up = holds_within(crate::support::PATIENCE, || {
            child.try_wait().unwrap().is_some() || TcpStream::connect(address).is_ok()
        });
        if up && child.try_wait().unwrap().is_none() {
            return Peer { child, address };
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("it does not start");
}

fn gateway(pki: &Pki, peer: &Peer, more: &str) -> Gateway {
    let (address, ca) = (peer.address, pki.text("ca.pem"));
    let config = format!(
        "upstreams: {{ u: {{ url: 'https://{address}', tls: {{ ca: '{ca}', server_name: users.internal{more} }} }} }}\n\
         routes: {{ /*: {{ upstream: u }} }}\n"
    );
    Gateway::start(&[], &config)
}

#[test]
fn nginx_is_a_service_in_both_versions() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:users.internal");
    pki.issue("gateway", "DNS:gateway.internal");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let origin = Origin::echo();
        let nginx = start(|port| {
            let file = pki.text(&format!("{port}.conf"));
            let text = format!(
                "daemon off; pid {file}.pid; error_log {file}.log; worker_processes 1; events {{}}
                 http {{
                   access_log off; client_body_temp_path {file}.1; proxy_temp_path {file}.2;
                   fastcgi_temp_path {file}.3; uwsgi_temp_path {file}.4; scgi_temp_path {file}.5;
                   server {{
                     listen 127.0.0.1:{port} ssl; ssl_protocols {version}; keepalive_requests 2;
                     ssl_certificate {leaf}.pem; ssl_certificate_key {leaf}.key; ssl_session_cache builtin;
                     ssl_client_certificate {ca}; ssl_verify_client on;
                     location / {{
                       proxy_pass http://{origin};
                       proxy_set_header x-tls $ssl_protocol; proxy_set_header x-name $ssl_server_name;
                       proxy_set_header x-reused $ssl_session_reused; proxy_set_header x-client $ssl_client_s_dn;
                     }}
                   }}
                 }}",
                leaf = pki.text("leaf"),
                ca = pki.text("ca.pem"),
                origin = origin.address(),
            );
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-c", &file, "-p", &pki.text("")]);
            command
        });
        let identity =
            format!(", certificate: '{}', key: '{}'", pki.text("gateway.pem"), pki.text("gateway.key"));
        let gateway = gateway(&pki, &nginx, &identity);
        let mut client = gateway.client();
        // nginx ends the connection after every second request: kept connections, stale ones and resumed sessions.
        for number in 0..6 {
            let answer = client.request("POST", "/", &[], b"body");
            assert_eq!(answer.status, 200, "{version} {number}: {}\n{}", answer.text(), gateway.stderr());
            let seen = origin.last();
            assert_eq!(seen.text(), "body");
            assert_eq!(seen.header("x-tls"), Some(version));
            assert_eq!(seen.header("x-name"), Some("users.internal"));
            assert_eq!(seen.header("x-client"), Some("CN=gateway"));
            let reused = if number < 2 { "." } else { "r" };
            assert_eq!(seen.header("x-reused"), Some(reused), "{version} {number}");
        }
        let without = gateway_without_identity(&pki, &nginx);
        let answer = without.get("/");
        assert_eq!(answer.status, 400, "nginx answers itself: {}", answer.text());
        // Its port without TLS: a 400 like any other for the client, but the operator learns why.
        let config = format!("routes: {{ /*: {{ upstream: 'http://{}' }} }}", nginx.address);
        let plain = Gateway::start(&[], &config);
        assert_eq!(plain.get("/").status, 400);
        plain.wait_stderr("answers 400 because TLS is not spoken to it: is its URL `https://`?");
    }
}

fn gateway_without_identity(pki: &Pki, peer: &Peer) -> Gateway {
    gateway(pki, peer, "")
}

#[test]
fn openssl_is_a_service() {
    let pki = Pki::new();
    pki.issue("leaf", "DNS:users.internal");
    for version in ["-tls1_2", "-tls1_3"] {
        let server = start(|port| {
            let mut command = Command::new("openssl");
            command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www", version]);
            command.args(["-cert", &pki.text("leaf.pem"), "-key", &pki.text("leaf.key")]);
            command
        });
        let gateway = gateway(&pki, &server, "");
        // Its page has no length: it is whole by the end that TLS says.
        let answer = gateway.get("/");
        assert_eq!(answer.status, 200, "{}", gateway.stderr());
        assert!(answer.complete && answer.text().contains("s_server"), "{}", answer.text());
    }
}

#[test]
fn python_is_a_service() {
    const SERVER: &str = "
import http.server, ssl, sys
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
";
    let pki = Pki::new();
    pki.issue("leaf", "DNS:users.internal");
    let server = start(|port| {
        let mut command = Command::new("python3");
        command.args(["-c", SERVER, &port.to_string(), &pki.text("leaf.pem"), &pki.text("leaf.key")]);
        command.current_dir(pki.path(""));
        command
    });
    let gateway = gateway(&pki, &server, "");
    for _ in 0..3 {
        let answer = gateway.get("/ca.pem");
        assert!(
            answer.complete && answer.body == pki.read("ca.pem"),
            "{}\n{}",
            answer.status,
            gateway.stderr()
        );
    }
}
