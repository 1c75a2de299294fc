//! How many client connections may be open: "The whole process" of docs/resilience.md.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::process::{Folder, Process};
use crate::support::{Client, Gateway, PATIENCE, until};

/// Sends one request and gives whether it was answered with 200; the connection stays open.
fn asks(client: &mut Client) -> bool {
    client.try_send("GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n").is_ok()
        && client.try_read_for("GET").is_ok_and(|answer| answer.status == 200)
}

/// Opens connections until so many are served, and keeps them.
#[track_caller]
fn open(address: SocketAddr, count: usize) -> Vec<Client> {
    let mut held = Vec::new();
    until("there is room for all of them", || {
        let mut client = Client::connect(address);
        if asks(&mut client) {
            held.push(client);
        }
        held.len() == count
    });
    held
}

#[track_caller]
fn refuses(address: SocketAddr) {
    let mut client = Client::connect(address);
    assert!(!asks(&mut client), "one more is served");
}

/// The number of a sample of the metrics.
fn sample(gateway: &Gateway, sample: &str) -> u64 {
    let mut admin = Client::connect(gateway.admin());
    let page = admin.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").read().text();
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} in\n{page}")).parse().unwrap()
}

fn two_listeners(bound: &str) -> String {
    format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        {bound}
        listeners:
          a: {{ listen: 127.0.0.1:0 }}
          b: {{ listen: 127.0.0.1:0 }}
        routes: {{ /x: {{ respond: {{ body: here }} }} }}
        "
    )
}

#[test]
fn the_process_has_a_bound_and_the_admin_listener_is_spared() {
    let gateway = Gateway::start(&[], &two_listeners("overload: { max_connections: 3 }"));
    let (a, b) = (gateway.listener("a"), gateway.listener("b"));
    let mut held = open(a, 2);
    held.extend(open(b, 1));
    refuses(b);
    refuses(a);
    let refused = |listener: &str, reason: &str| {
        let labels = format!("{{listener=\"{listener}\",reason=\"{reason}\"}}");
        sample(&gateway, &format!("portcullis_connections_refused_total{labels}"))
    };
    assert_eq!((refused("a", "process"), refused("b", "process"), refused("b", "client")), (1, 1, 0));
    gateway.wait_stderr("listener `b` refuses connections: `overload.max_connections` (3) is reached");

    // A lower bound closes nothing that is open, and no bound lets everything in.
    gateway.replace_config(&two_listeners("overload: { max_connections: 1 }"));
    gateway.wait_stderr("reloaded: version 2");
    assert!(held.iter_mut().all(asks));
    held.truncate(1);
    until("two have ended", || sample(&gateway, "portcullis_connections_open{listener=\"b\"}") == 0);
    refuses(b);
    gateway.replace_config(&two_listeners(""));
    gateway.wait_stderr("reloaded: version 3");
    held.extend(open(b, 5));
    assert!(held.iter_mut().all(asks));
}

#[test]
fn every_connection_gives_its_place_back() {
    let bound = "overload: { max_connections: 6 }";
    let gateway = Gateway::start(&[], &two_listeners(bound));
    let (a, b) = (gateway.listener("a"), gateway.listener("b"));
    for round in 0..30 {
        let held = open(if round % 2 == 0 { a } else { b }, 6);
        refuses(a);
        drop(held);
        // Silent ones, and ones that leave within a head.
        let _silent = Client::connect(a);
        let _ = Client::connect(b).try_send("GET /x HT");
    }
    // The connections of a listener that is gone do not count any more.
    let held = open(b, 6);
    let without_b = two_listeners(bound).replace("b: {", "c: {");
    gateway.replace_config(&without_b);
    gateway.wait_stderr("reloaded: version 2");
    let mut all = open(a, 6);
    refuses(a);
    assert!(all.iter_mut().all(asks));
    drop(held);
}

fn from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from(source), 0).into()).unwrap();
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

fn is_served(stream: &mut TcpStream) -> bool {
    let mut begin = [0; 12];
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n").is_ok()
        && stream.read_exact(&mut begin).is_ok()
        && begin.ends_with(b" 200")
}

fn per_client(bound: &str) -> String {
    format!(
        "
        admin: {{ listen: 127.0.0.1:0 }}
        listeners:
          default: {{ listen: 127.0.0.1:0, trusted_proxies: [127.0.0.3/32], limits: {{ {bound} }} }}
        routes: {{ /x: {{ respond: {{ body: here }} }} }}
        "
    )
}

#[test]
fn each_client_has_a_bound_but_not_a_trusted_proxy() {
    let gateway = Gateway::start(&[], &per_client("connections_per_client: 2"));
    let address = gateway.address();
    let mut held: Vec<TcpStream> = [1, 1, 2, 2, 3, 3, 3, 3].map(|n| from([127, 0, 0, n], address)).into();
    for stream in &mut held {
        assert!(is_served(stream), "{:?}", stream.local_addr());
    }
    for n in [1, 2] {
        assert!(!is_served(&mut from([127, 0, 0, n], address)), "a third one of 127.0.0.{n}");
    }
    let refused = "portcullis_connections_refused_total{listener=\"default\",reason=\"client\"}";
    assert_eq!(sample(&gateway, refused), 2);
    gateway.wait_stderr(
        "listener `default` refuses connections of 127.0.0.1: `connections_per_client` (2) is reached",
    );
    drop(held);
    until("there is room again", || is_served(&mut from([127, 0, 0, 1], address)));
    // Connections that were open before a bound came are counted too.
    gateway.replace_config(&per_client(""));
    gateway.wait_stderr("reloaded: version 2");
    let mut before: Vec<TcpStream> = (0..4).map(|_| from([127, 0, 0, 4], address)).collect();
    assert!(before.iter_mut().all(is_served));
    gateway.replace_config(&per_client("connections_per_client: 3"));
    gateway.wait_stderr("reloaded: version 3");
    assert!(!is_served(&mut from([127, 0, 0, 4], address)));
    assert!(is_served(&mut from([127, 0, 0, 5], address)));
}

#[test]
fn open_files_are_kept_for_services() {
    let folder = Folder::new();
    folder.write(
        "portcullis.yaml",
        "listen: 127.0.0.1:0\noverload: { max_connections: 1000 }\ntelemetry: { access_log: none }\n\
         routes: { /x: { respond: { body: here } } }\n",
    );
    let mut command = Command::new("sh");
    command.current_dir(folder.path()).args(["-c", "ulimit -n 200; exec \"$0\" run -c portcullis.yaml"]);
    command.arg(env!("CARGO_BIN_EXE_portcullis"));
    let process = Process::spawn(command);
    process.wait_ready();
    let stderr = process.stderr();
    for line in [
        "only 200 files may be open at a time, 72 of them by clients",
        "`overload.max_connections` is 1000, but the limit of open files leaves room for 72",
    ] {
        assert!(stderr.contains(line), "{line} in\n{stderr}");
    }
    let address = process.address("listener default on");
    let held = open(address, 72);
    refuses(address);
    until("it is reported", || {
        process.stderr().contains("refuses connections: the limit of open files leaves room for 72")
    });
    assert!(!process.stderr().contains("cannot accept"), "{}", process.stderr());
    drop(held);
    until("there is room again", || asks(&mut Client::connect(address)));
}
