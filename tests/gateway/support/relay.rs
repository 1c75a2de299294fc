//! A wire that can be cut: TCP from a port of the test's own to another address.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// They pass.
    Pass,
    /// Nothing arrives, nothing ends: a partition. What was sent arrives once the wire is whole again.
    Silent,
    /// Connections are reset, open ones and new ones.
    Refuse,
}

struct State {
    wire: Mutex<(Wire, SocketAddr)>,
    changed: Condvar,
    streams: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl State {
    /// Waits while the wire is silent; gives whether it passes then.
    fn passes(&self) -> bool {
        let wire = self.wire.lock().unwrap();
        self.changed.wait_while(wire, |wire| wire.0 == Wire::Silent).unwrap().0 == Wire::Pass
    }
}

/// The relay. It ends, with its connections, when dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

impl Relay {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            wire: Mutex::new((Wire::Pass, target)),
            changed: Condvar::new(),
            streams: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let state = Arc::clone(&shared);
                std::thread::spawn(move || join(&state, &stream));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.state.wire.lock().unwrap().0 = wire;
        self.state.changed.notify_all();
        if wire == Wire::Refuse {
            self.state.streams.lock().unwrap().drain(..).for_each(|stream| reset(&stream));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Wire::Refuse);
        self.state.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}

/// Carries bytes both ways until one side ends.
fn join(state: &Arc<State>, near: &TcpStream) {
    let target = state.wire.lock().unwrap().1;
    let far = if state.passes() { TcpStream::connect(target).ok() } else { None };
    let Some(far) = far else { return reset(near) };
    for stream in [near, &far] {
        let _ = stream.set_nodelay(true);
        state.streams.lock().unwrap().push(stream.try_clone().unwrap());
    }
    if state.wire.lock().unwrap().0 == Wire::Refuse {
        return reset(near);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| carry(state, near, &far));
        carry(state, &far, near);
    });
}

fn carry(state: &State, mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if !state.passes() || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// An address where connecting never completes: a listener whose queue is full, and that takes nobody from it.
pub(crate) struct BlackHole {
    listener: socket2::Socket,
    waiting: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(crate) fn new() -> Self {
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = (0..8).map(|_| {
            let one = socket();
            one.set_nonblocking(true).unwrap();
            let _ = one.connect(&address);
            one
        });
        Self { waiting: waiting.collect(), listener }
    }

    /// Takes everybody from the queue, and answers each request with these bytes.
    pub(crate) fn open(&self, answer: &'static str) {
        let listener = self.listener.try_clone().unwrap();
        listener.set_read_timeout(Some(super::PATIENCE)).unwrap();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                std::thread::spawn(move || {
                    let mut stream = TcpStream::from(socket);
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = stream.read(&mut buffer) {
                        let _ = stream.write_all(answer.as_bytes());
                    }
                });
            }
        });
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// The tools themselves, without a gateway.
#[test]
fn a_relay_passes_halts_and_refuses() {
    let origin = super::Origin::text("ok");
    let relay = Relay::to(origin.address());
    let mut client = super::Client::connect(relay.address());
    assert_eq!(client.get("/").text(), "ok");
    relay.set(Wire::Silent);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.has_bytes(Duration::from_millis(20)));
    relay.set(Wire::Pass);
    assert_eq!(client.read().text(), "ok", "what was sent arrives");
    relay.set(Wire::Refuse);
    assert!(client.closed());
    // It may be reset before anything can be said of it.
    let refused = TcpStream::connect(relay.address()).and_then(|mut stream| stream.read(&mut [0]));
    assert!(!matches!(refused, Ok(1)), "{refused:?}");
    relay.set(Wire::Pass);
    assert_eq!(super::Client::connect(relay.address()).get("/").text(), "ok");
    let hole = BlackHole::new();
    assert!(TcpStream::connect_timeout(&hole.address(), Duration::from_millis(50)).is_err());
}
