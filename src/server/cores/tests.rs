use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::listener::connections::ConnectionCounts;
use crate::server::Source;
use crate::server::sockets;
use crate::snapshot::Live;
use crate::snapshot::compile::Environment;
use crate::telemetry::OperatorLog;

const TEXT: &str = r#"
listeners:
  one: { listen: "127.0.0.1:0", routes: { /name: { respond: { body: one } } } }
  two: { listen: "127.0.0.1:0", routes: { /name: { respond: { body: two } } } }
"#;

struct Running {
    connections: Arc<ConnectionCounts>,
    cores: Cores,
    runtime: tokio::runtime::LocalRuntime,
}

impl Running {
    fn new(count: usize) -> Running {
        let environment = Environment::new(count);
        let source = Source::Text { path: PathBuf::from("cores.yaml"), text: TEXT.to_owned() };
        let compiled = source.compile(None, &environment);
        assert_eq!(compiled.diagnostics.render(false), "");
        let connections = ConnectionCounts::new(u64::MAX);
        let shared = Shared {
            shed: Arc::default(),
            connections: Arc::clone(&connections),
            live: Arc::new(Live::new(Arc::new(compiled.snapshot.unwrap()))),
            metrics: Arc::clone(&environment.metrics),
            handshakes: Arc::default(),
            access: None,
            log: OperatorLog::start(false, crate::telemetry::log::Level::Error, |_| {}).unwrap(),
        };
        let (cores, _) = Cores::start(count, &shared).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .unwrap();
        Running { connections, cores, runtime }
    }

    /// Waits until so many connections are counted: their tasks end a little after their sockets.
    fn wait_open(&self, count: u64) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.connections.open() != count {
            assert!(Instant::now() < end, "{} are open, not {count}", self.connections.open());
            std::thread::park_timeout(Duration::from_millis(2));
        }
        assert_eq!(self.connections.clients(), usize::from(count > 0));
    }

    fn open(&self, number: usize, name: &str) -> SocketAddr {
        let wanted = [(Name::from(name), "127.0.0.1:0".parse().unwrap())];
        let opened = sockets::open(&wanted, self.cores.count(), &[], number).unwrap().remove(0);
        self.cores.open(number, &opened.bound.name, opened.sockets);
        opened.bound.local
    }
}

fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"one") && !told.ends_with(b"two") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&piece[..read]);
    }
    String::from_utf8(told[told.len() - 3..].to_vec()).unwrap()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0))
}

#[test]
fn every_connection_is_served_and_a_drain_ends_the_idle_ones() {
    let running = Running::new(3);
    let address = running.open(0, "one");
    let mut clients: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(address).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(ask(client), "one");
    }
    assert_eq!(running.cores.open_connections(), 12);
    // Whichever core accepted them, and whichever serves them.
    assert_eq!((running.connections.open(), running.connections.clients()), (12, 1));
    running.runtime.block_on(async {
        running.cores.close_sockets(&[0]).await;
        running.cores.drain().await;
    });
    assert_eq!(running.cores.open_connections(), 0);
    assert_eq!((running.connections.open(), running.connections.clients()), (0, 0));
    assert!(clients.iter_mut().all(is_closed));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn sockets_that_are_renamed_serve_the_other_listener() {
    let running = Running::new(2);
    let address = running.open(0, "one");
    let mut before = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut before), "one");
    running.cores.rename(0, &Name::from("two"));
    assert!(is_closed(&mut before));
    let mut after = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut after), "two");
    running.wait_open(1);
    drop(after);
    running.wait_open(0);
}

#[test]
fn a_closed_listener_takes_its_own_connections_along_and_no_others() {
    let running = Running::new(2);
    let (one, two) = (running.open(0, "one"), running.open(1, "two"));
    let (mut gone, mut kept) = (TcpStream::connect(one).unwrap(), TcpStream::connect(two).unwrap());
    assert_eq!((ask(&mut gone).as_str(), ask(&mut kept).as_str()), ("one", "two"));
    running.runtime.block_on(running.cores.close(&[0]));
    assert!(is_closed(&mut gone) && TcpStream::connect(one).is_err());
    assert_eq!(ask(&mut kept), "two");
    running.wait_open(1);
}

#[test]
fn who_waits_in_the_queue_is_served_before_the_sockets_close() {
    let running = Running::new(2);
    let wanted = [(Name::from("one"), "127.0.0.1:0".parse().unwrap())];
    let opened = sockets::open(&wanted, 2, &[], 0).unwrap().remove(0);
    // Nobody accepts yet: all of them stand in the queues.
    let mut clients: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(opened.bound.local).unwrap()).collect();
    running.cores.open(0, &opened.bound.name, opened.sockets);
    running.runtime.block_on(running.cores.close_sockets(&[0]));
    for client in &mut clients {
        assert_eq!(ask(client), "one");
    }
}
