//! TLS with the clients of OpenSSL: versions, protocols, sessions that are taken up again, certificates of clients.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support::Gateway;
use crate::support::pki::Pki;
use crate::tls::{one, pki};

const ROUTES: &str = "routes: { /: { respond: { body: all of it } } }";

/// Asks for `/` with `openssl s_client`, and gives all that it says.
fn s_client(pki: &Pki, address: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-servername", "a.test", "-ign_eof"]);
    command.args(["-CAfile", &pki.text("ca.pem"), "-verify_return_error", "-verify_hostname", "a.test"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that was refused has ended already.
    let _ = child.stdin.take().unwrap().write_all(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let done = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

#[track_caller]
fn says(said: &str, all: &[&str]) {
    for words in all {
        assert!(said.contains(words), "{words} in\n{said}");
    }
}

#[test]
fn both_versions_and_both_protocols_are_agreed_on() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", ROUTES));
    let ask = |arguments: &[&str]| s_client(&pki, gateway.address(), arguments);
    says(&ask(&["-tls1_3"]), &["New, TLSv1.3", "Verification: OK", "No ALPN negotiated", "all of it"]);
    says(&ask(&["-tls1_2"]), &["New, TLSv1.2", "Secure Renegotiation IS supported", "all of it"]);
    says(&ask(&["-alpn", "h2,http/1.1"]), &["ALPN protocol: h2"]);
    says(&ask(&["-alpn", "http/1.1"]), &["ALPN protocol: http/1.1", "all of it"]);
    says(&ask(&["-alpn", "imap"]), &["alert no application protocol"]);
    says(&ask(&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]), &["alert protocol version"]);
    let only = Gateway::start(&[], &one(&pki, ", min: tls1.3", ROUTES));
    says(&s_client(&pki, only.address(), &["-tls1_2"]), &["alert protocol version"]);
}

#[test]
fn sessions_are_taken_up_again() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", ROUTES));
    let said = s_client(&pki, gateway.address(), &["-tls1_2", "-reconnect"]);
    assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    let session = pki.text("session.pem");
    let first = s_client(&pki, gateway.address(), &["-tls1_3", "-sess_out", &session]);
    says(&first, &["New, TLSv1.3", "all of it"]);
    let second = s_client(&pki, gateway.address(), &["-tls1_3", "-sess_in", &session]);
    says(&second, &["Reused, TLSv1.3", "Early data was not sent", "all of it"]);
    assert!(!first.contains("Max Early Data: 16384"), "no data in the first flight is taken: {first}");
}

#[test]
fn clients_show_their_certificates() {
    let pki = pki();
    pki.issue("alice", "DNS:alice.test");
    pki.authority("other");
    pki.issue_as("mallory", "DNS:alice.test", "other", "9", &["-newkey", "rsa:2048"]);
    let config = one(&pki, &format!(", client_ca: {}", pki.text("ca.pem")), ROUTES);
    let gateway = Gateway::start(&[], &config);
    for version in ["-tls1_2", "-tls1_3"] {
        let shows = |name: &str| {
            let (certificate, key) = (pki.text(&format!("{name}.pem")), pki.text(&format!("{name}.key")));
            s_client(&pki, gateway.address(), &[version, "-cert", &certificate, "-key", &key])
        };
        says(&shows("alice"), &["all of it", "Acceptable client certificate CA names"]);
        // It learns why, although it has sent its request behind its certificate.
        let refused = shows("mallory");
        assert!(refused.contains("alert") && !refused.contains("all of it"), "{version}: {refused}");
        let nothing = s_client(&pki, gateway.address(), &[version]);
        assert!(nothing.contains("alert") && !nothing.contains("all of it"), "{version}: {nothing}");
    }
}
