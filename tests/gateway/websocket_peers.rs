//! WebSockets over TLS between clients and services that others have made, through a gateway that speaks TLS both ways:
//! npm's `ws` and PyPI's `websockets`. `./dev test` installs them.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::process::{Folder, Process};
use crate::support::pki::Pki;
use crate::support::until;

/// A program that is killed when dropped, and what it prints.
struct Peer {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Peer {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the third parties are; nothing where nobody has installed them.
fn installed() -> Option<PathBuf> {
    let place = std::env::var_os("PORTCULLIS_TEST_PEERS").map(PathBuf::from);
    assert!(place.is_some() || std::env::var_os("CI").is_none(), "`./dev test` installs the third parties");
    place
}

fn run(place: &Path, library: &str, arguments: &[&str]) -> Peer {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/peers");
    let mut command = if library == "ws" {
        let mut command = Command::new("node");
        command.arg(scripts.join("ws.mjs"));
        command
    } else {
        let mut command = Command::new(place.join("python/bin/python"));
        command.arg(scripts.join("websockets.py"));
        command
    };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    Peer { child, said }
}

/// A gateway in front of a service at this port of 127.0.0.1.
fn gateway(pki: &Pki, port: &str) -> (Folder, Process) {
    let folder = Folder::new();
    let file = |name: &str| pki.text(name);
    let config = format!(
        "listeners:\n  default:\n    listen: 127.0.0.1:0\n    \
         tls: {{ certificates: [{{ certificate: '{}', key: '{}' }}] }}\n\
         telemetry: {{ access_log: {{ file: access.log, format: json }} }}\n\
         upstreams: {{ chat: {{ url: 'https://127.0.0.1:{port}', tls: {{ ca: '{}' }} }} }}\n\
         routes: {{ /ws/*: {{ upstream: chat, rewrite: / }} }}\n",
        file("web.pem"),
        file("web.key"),
        file("ca.pem")
    );
    let process = Process::serve(&folder, &config, &["--grace", "1m"]);
    (folder, process)
}

fn url(address: SocketAddr) -> String {
    format!("wss://{address}/ws/chat")
}

const LIBRARIES: [&str; 2] = ["ws", "websockets"];

#[test]
fn clients_and_services_of_others_speak_through_tls_on_both_sides() {
    let Some(place) = installed() else { return };
    let pki = Pki::new();
    pki.issue("web", "IP:127.0.0.1");
    for service in LIBRARIES {
        let mut service_of = run(&place, service, &["serve", &pki.text("web.pem"), &pki.text("web.key")]);
        let (folder, process) = gateway(&pki, &service_of.line());
        for (number, client) in LIBRARIES.into_iter().enumerate() {
            let mut talk = run(
                &place,
                client,
                &["talk", &url(process.address("listener default on")), &pki.text("ca.pem")],
            );
            let mut said = String::new();
            talk.said.read_to_string(&mut said).unwrap();
            assert_eq!(said, "chat true true true\n4001\n", "{client} to {service}");
            let line = || {
                let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap_or_default();
                log.lines().nth(number).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            };
            until("it is logged", || line().is_some());
            let line = line().unwrap();
            assert_eq!((line["status"].as_u64(), &line["ended"]), (Some(101), &"close".into()), "{line}");
            if service == "websockets" {
                // It ends its side without `close_notify`; nothing is amiss behind a Close frame.
                assert_eq!(service_of.line(), "closed", "{client}");
            }
        }
    }
}

#[test]
fn clients_of_others_get_a_close_frame_when_the_process_ends() {
    let Some(place) = installed() else { return };
    let pki = Pki::new();
    pki.issue("web", "IP:127.0.0.1");
    for (service, client) in [("ws", "websockets"), ("websockets", "ws")] {
        let mut service_of = run(&place, service, &["serve", &pki.text("web.pem"), &pki.text("web.key")]);
        let (_folder, process) = gateway(&pki, &service_of.line());
        let mut stay =
            run(&place, client, &["stay", &url(process.address("listener default on")), &pki.text("ca.pem")]);
        assert_eq!(stay.line(), "chat true true true");
        process.signal("TERM");
        assert_eq!(stay.line(), "1001", "{client} to {service}");
        assert!(process.wait_exit().success());
    }
}
