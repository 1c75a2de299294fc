//! The files of certificates: what is refused, what is warned of, and how new ones take over.

use std::sync::Arc;

use crate::support::pki::{Pki, TlsClient, connect, taking_any};
use crate::support::{Gateway, until};
use crate::tls::{metrics, one, pki};

const ROUTES: &str = "admin: { listen: 127.0.0.1:0 }\nroutes: { /: { respond: { body: x } } }";

fn shown(gateway: &Gateway) -> Vec<u8> {
    let any = Arc::new(taking_any(rustls::ALL_VERSIONS));
    let client: TlsClient = connect(gateway.address(), "a.test", &any).unwrap();
    client.stream().conn.peer_certificates().unwrap()[0].to_vec()
}

/// Puts another pair in the place of `web`, each file by a rename.
fn replace(pki: &Pki, by: &str) {
    for end in ["pem", "key"] {
        std::fs::copy(pki.path(&format!("{by}.{end}")), pki.path("new")).unwrap();
        std::fs::rename(pki.path("new"), pki.path(&format!("web.{end}"))).unwrap();
    }
}

#[test]
fn a_renewed_certificate_takes_over_and_nobody_is_cut_off() {
    let pki = pki();
    let gateway = Gateway::start(&[], &one(&pki, "", ROUTES));
    let mut kept = pki.client(gateway.address(), "a.test");
    assert_eq!(kept.get("/").status, 200);
    let first = pki.der("web").to_vec();
    assert_eq!(shown(&gateway), first);
    pki.issue("second", "DNS:a.test");
    replace(&pki, "second");
    let second = pki.der("second").to_vec();
    until("the new one is shown", || shown(&gateway) == second);
    assert_eq!(kept.get("/").status, 200, "the old connection goes on");
    assert_eq!(kept.stream().conn.peer_certificates().unwrap()[0].to_vec(), first);
    // A key that does not match, then no certificate at all, then one that has expired: what was good stays.
    pki.issue("third", "DNS:a.test");
    std::fs::copy(pki.path("third.key"), pki.path("web.key")).unwrap();
    gateway.wait_stderr("this is not the key of the certificate: the one that was read before stays in use");
    assert_eq!(shown(&gateway), second);
    std::fs::write(pki.path("web.pem"), "").unwrap();
    gateway.wait_stderr("this file is empty: the one that was read before stays in use");
    assert_eq!(shown(&gateway), second);
    pki.issue_as("old", "DNS:a.test", "ca", "-1", &["-newkey", "rsa:2048"]);
    replace(&pki, "old");
    gateway.wait_stderr("this certificate has expired: the one that was read before stays in use");
    assert_eq!(shown(&gateway), second);
    assert_eq!(kept.get("/").status, 200);
    // The rest of the configuration changes meanwhile.
    let changed = one(&pki, "", &ROUTES.replace("body: x", "body: y"));
    gateway.replace_config(&changed);
    until("it is in force", || kept.get("/").text() == "y");
    assert_eq!(shown(&gateway), second);
    replace(&pki, "third");
    let third = pki.der("third").to_vec();
    until("the next one is shown", || shown(&gateway) == third);
}

#[test]
fn files_that_are_of_no_use_are_refused_with_the_reason() {
    let pki = pki();
    pki.issue("other", "DNS:a.test");
    pki.issue_as("short", "DNS:a.test", "ca", "9", &["-newkey", "rsa:1024"]);
    pki.openssl(&["pkey", "-in", "web.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]);
    pki.openssl(&["genrsa", "-aes128", "-passout", "pass:x", "-traditional", "-out", "older.key", "2048"]);
    std::fs::write(pki.path("empty.pem"), "").unwrap();
    std::fs::write(pki.path("none.pem"), "nothing of the kind").unwrap();
    let dir = pki.dir();
    for (certificate, key, why) in [
        ("web.pem", "other.key", "this is not the key of the certificate"),
        ("web.pem", "locked.key", "this key is encrypted"),
        ("web.pem", "older.key", "this key is encrypted"),
        ("short.pem", "short.key", "its RSA key has 1024 bits"),
        ("missing.pem", "web.key", "this file cannot be read: No such file"),
        ("empty.pem", "web.key", "this file is empty"),
        ("none.pem", "web.key", "this file holds no certificate"),
        ("web.pem", "none.pem", "this file holds no private key"),
        ("web.pem", "web.pem", "this file holds no private key"),
    ] {
        let config = format!(
            "listeners:\n  default:\n    listen: 127.0.0.1:0\n    tls: {{ certificates: [{{ certificate: {dir}/{certificate}, key: {dir}/{key} }}] }}\nroutes: {{ /: {{ respond: {{ body: x }} }} }}\n"
        );
        let done = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &config);
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert_eq!(done.status.code(), Some(1), "{certificate} {key}: {said}");
        assert!(said.contains(why), "{certificate} {key}: {said}");
        let wrong = if why.contains("key") && !why.contains("RSA") { key } else { certificate };
        assert!(said.contains(wrong), "the file is named: {said}");
    }
    let done = Gateway::prepare(&[])
        .run(&["check", "-c", "CONFIG"], &one(&pki, &format!(", client_ca: {dir}/none.pem"), ROUTES));
    assert!(
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat())
            .contains("this file holds no certificate")
    );
}

#[test]
fn one_that_has_expired_is_shown_with_a_warning_and_the_metric_says_until_when() {
    let pki = Pki::new();
    pki.issue_as("web", "DNS:a.test", "ca", "-1", &["-newkey", "rsa:2048"]);
    let gateway = Gateway::start(&[], &one(&pki, "", ROUTES));
    gateway.wait_stderr("this certificate has expired");
    assert_eq!(shown(&gateway), pki.der("web").to_vec());
    let until_when = |gateway: &Gateway| -> u64 {
        let page = metrics(gateway);
        let line = page
            .lines()
            .find(|line| line.starts_with("portcullis_tls_certificate_expiry_timestamp_seconds{"));
        let line = line.unwrap();
        assert!(line.contains("listener=\"default\"") && line.contains("web.pem\""), "{line}");
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 2 * 86_400..now).contains(&until_when(&gateway)));
    // One that holds takes its place, and one that holds for few days is warned of.
    pki.issue_as("soon", "DNS:a.test", "ca", "5", &["-newkey", "rsa:2048"]);
    replace(&pki, "soon");
    until("it is shown", || shown(&gateway) == pki.der("soon").to_vec());
    assert!((now + 4 * 86_400..now + 6 * 86_400).contains(&until_when(&gateway)));
    let gateway = Gateway::start(&[], &one(&pki, "", ROUTES));
    // In 5 where not a second has passed.
    gateway.wait_stderr("web.pem expires in ");
}

#[test]
fn a_certificate_that_names_no_host_is_warned_of_by_its_file() {
    let pki = Pki::new();
    for (alternatives, warned) in [("", true), ("IP:127.0.0.1", false), ("DNS:a.test", false)] {
        pki.issue("web", alternatives);
        let done = Gateway::prepare(&[]).run(&["check", "-c", "CONFIG"], &one(&pki, "", ROUTES));
        let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{said}");
        let names =
            format!("the certificate in `{}` is for no host: it has no subjectAltName", pki.text("web.pem"));
        assert_eq!(said.contains(&names), warned, "{alternatives}: {said}");
    }
}
