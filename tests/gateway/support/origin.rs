//! A scripted upstream on plain threads, which remembers every byte it got.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::message::{Cut, Headers, Source};
use super::{Gate, PATIENCE, until};

/// One request as the upstream got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// The request line.
    pub(crate) line: String,
    pub(crate) headers: Headers,
    /// What has been read of its body.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    /// True once the whole body is read.
    pub(crate) complete: bool,
}

impl Seen {
    /// The value of the only header line of that name; two lines fail the test.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.has(name)
    }

    pub(crate) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The request target: path and query.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Default)]
struct Connection {
    raw: Vec<u8>,
    stream: Option<TcpStream>,
    closed_by_peer: bool,
}

#[derive(Default)]
struct State {
    connections: Mutex<Vec<Connection>>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

/// The upstream. It ends, with its connections, when dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
}

type Script = dyn Fn(&mut Turn) + Send + Sync;

impl Origin {
    /// Calls the script once per request head.
    pub(crate) fn serve(script: impl Fn(&mut Turn) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&origin.state);
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || accept(&listener, &state, &script));
        origin
    }

    /// Answers 200 with what it received, as JSON: `line`, `headers` (pairs in order), `body`.
    pub(crate) fn echo() -> Self {
        Self::serve(Turn::echo)
    }

    /// Answers 200 with that text, always.
    pub(crate) fn text(text: &str) -> Self {
        let text = text.to_owned();
        Self::serve(move |turn| turn.answer(200, &[], &text))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order their heads came.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many request heads came.
    pub(crate) fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// The last request.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request at the upstream")
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let mut all = self.requests();
        assert_eq!(all.len(), 1, "one request at the upstream: {all:#?}");
        all.remove(0)
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }

    /// Every byte that came on one connection.
    pub(crate) fn raw(&self, connection: usize) -> String {
        String::from_utf8_lossy(&self.state.connections.lock().unwrap()[connection].raw).into_owned()
    }

    /// Every byte that came, on all connections.
    pub(crate) fn raw_all(&self) -> String {
        (0..self.connections()).map(|i| self.raw(i)).collect()
    }

    /// What came that was no HTTP.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state.faults.lock().unwrap().clone()
    }

    /// Waits until so many request heads have come.
    #[track_caller]
    pub(crate) fn wait_count(&self, count: usize) {
        until(&format!("{count} requests at the upstream"), || self.count() >= count);
    }

    /// Waits until the peer has closed that connection. The script sees to it that someone reads: it has returned,
    /// or it waits in [`Turn::wait_closed`].
    #[track_caller]
    pub(crate) fn wait_closed(&self, connection: usize) {
        until("the peer closes its connection to the upstream", || {
            self.state.connections.lock().unwrap().get(connection).is_some_and(|c| c.closed_by_peer)
        });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for connection in self.state.connections.lock().unwrap().iter() {
            if let Some(stream) = &connection.stream {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// An address where connections are refused: taken, so that nobody else gets it, but without a listener.
pub(crate) struct Closed(socket2::Socket);

impl Closed {
    pub(crate) fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap().as_socket().unwrap())
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>, script: &Arc<Script>) {
    for stream in listener.incoming() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(PATIENCE * 3));
        let index = {
            let mut connections = state.connections.lock().unwrap();
            connections.push(Connection { stream: stream.try_clone().ok(), ..Connection::default() });
            connections.len() - 1
        };
        let (state, script) = (Arc::clone(state), Arc::clone(script));
        std::thread::spawn(move || {
            let tap = Tap { stream, index, state: Arc::clone(&state) };
            converse(Source::new(tap), index, &state, &script);
            if let Some(connection) = state.connections.lock().unwrap().get_mut(index) {
                connection.stream = None;
            }
        });
    }
}

fn converse(mut source: Source<Tap>, index: usize, state: &Arc<State>, script: &Arc<Script>) {
    loop {
        let (line, headers) = match source.head() {
            Ok(head) => head,
            Err(Cut::Malformed(what)) => {
                state.faults.lock().unwrap().push(what);
                return;
            }
            Err(_) => return,
        };
        let number = {
            let mut seen = state.seen.lock().unwrap();
            seen.push(Seen {
                connection: index,
                line,
                headers,
                body: Vec::new(),
                trailers: Headers::default(),
                complete: false,
            });
            seen.len() - 1
        };
        let mut turn =
            Turn { source, state: Arc::clone(state), index, number, body_read: false, over: false };
        script(&mut turn);
        if !turn.over {
            turn.read_body();
        }
        if turn.over {
            return;
        }
        source = turn.source;
    }
}

/// Copies what is read into the connection's record.
struct Tap {
    stream: TcpStream,
    index: usize,
    state: Arc<State>,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.stream.read(buffer);
        let mut connections = self.state.connections.lock().unwrap();
        let record = &mut connections[self.index];
        match &got {
            Ok(0) => record.closed_by_peer = true,
            // Enough for every assertion; big bodies are not worth the memory.
            Ok(n) if record.raw.len() < 1 << 20 => record.raw.extend_from_slice(&buffer[..*n]),
            Ok(_) => {}
            Err(e) => {
                let waits = matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                record.closed_by_peer |= !waits;
            }
        }
        got
    }
}

/// One request being answered: what a script works with.
pub(crate) struct Turn {
    source: Source<Tap>,
    state: Arc<State>,
    index: usize,
    number: usize,
    body_read: bool,
    over: bool,
}

impl Turn {
    /// The request; its body is there once [`Turn::read_body`] or [`Turn::body`] was called.
    pub(crate) fn request(&self) -> Seen {
        self.state.seen.lock().unwrap()[self.number].clone()
    }

    /// The number of this request at this upstream, from 0.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The number of this connection at this upstream, from 0.
    pub(crate) fn connection(&self) -> usize {
        self.index
    }

    /// The number of this request on its connection, from 0.
    pub(crate) fn nth(&self) -> usize {
        let seen = self.state.seen.lock().unwrap();
        seen[..self.number].iter().filter(|other| other.connection == self.index).count()
    }

    /// Reads the whole body and gives it.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        self.read_body();
        self.request().body
    }

    /// Reads the whole body.
    pub(crate) fn read_body(&mut self) {
        if std::mem::replace(&mut self.body_read, true) {
            return;
        }
        let headers = self.request().headers;
        let (mut body, mut trailers) = (Vec::new(), Headers::default());
        let coding = headers.all("transfer-encoding");
        let lengths = headers.all("content-length");
        let ended = if coding == ["chunked"] && lengths.is_empty() {
            self.source.chunked(&mut body).map(|fields| trailers = fields)
        } else if coding.is_empty() && lengths.len() <= 1 {
            let length = lengths.first().map_or(Ok(0), |l| l.parse());
            length
                .map_err(|_| Cut::Malformed(format!("{headers:?}")))
                .and_then(|l| self.source.take(l, &mut body))
        } else {
            Err(Cut::Malformed(format!("framing of {headers:?}")))
        };
        if let Err(Cut::Malformed(what)) = &ended {
            self.state.faults.lock().unwrap().push(what.clone());
        }
        self.over |= ended.is_err();
        let seen = &mut self.state.seen.lock().unwrap()[self.number];
        (seen.body, seen.trailers, seen.complete) = (body, trailers, ended.is_ok());
    }

    /// Reads that many bytes of what comes, as they are, and leaves the rest of the body unread.
    pub(crate) fn read_raw(&mut self, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.over |= self.source.take(length, &mut bytes).is_err();
        bytes
    }

    /// Reads the body without keeping it, and gives its digest.
    pub(crate) fn body_digest(&mut self) -> Digest {
        let length = self.request().headers.one("content-length").map(|l| l.parse::<u64>().unwrap());
        self.body_read = true;
        let mut digest = Digest::default();
        let mut left = length.expect("a body with a length");
        let mut part = Vec::new();
        while left > 0 && !self.over {
            part.clear();
            let now = left.min(64 * 1024);
            self.over |= self.source.take(now, &mut part).is_err();
            digest.add(&part);
            left -= now;
        }
        self.state.seen.lock().unwrap()[self.number].complete = !self.over;
        digest
    }

    /// Writes these bytes as they are. A peer that has gone is no error.
    pub(crate) fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.over |= self.source.stream.stream.write_all(bytes.as_ref()).is_err();
    }

    /// A whole answer with its length. Reads the request's body first.
    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        self.read_body();
        self.answer_early(status, headers, body);
    }

    /// A whole answer with its length, whatever has been read of the request's body.
    pub(crate) fn answer_early(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut bytes = head(status, headers);
        if !matches!(status, 204 | 304) {
            bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        if self.request().method() != "HEAD" {
            bytes.extend_from_slice(body);
        }
        self.raw(bytes);
    }

    /// The head of a chunked answer; [`Turn::chunk`] and [`Turn::last_chunk`] follow.
    pub(crate) fn chunked(&mut self, status: u16, headers: &[(&str, &str)]) {
        let bytes = head(status, headers) + "Transfer-Encoding: chunked\r\n\r\n";
        self.raw(bytes);
    }

    pub(crate) fn chunk(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\r\n");
        self.raw(bytes);
    }

    pub(crate) fn last_chunk(&mut self, trailers: &[(&str, &str)]) {
        let fields: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(format!("0\r\n{fields}\r\n"));
    }

    /// Answers with what it received.
    pub(crate) fn echo(&mut self) {
        self.read_body();
        let seen = self.request();
        let body = json!({ "line": seen.line, "headers": seen.headers.0, "body": seen.text() }).to_string();
        self.answer(200, &[("Content-Type", "application/json")], body);
    }

    /// Waits until the test opens the gate.
    pub(crate) fn wait(&mut self, gate: &Gate) {
        gate.wait();
    }

    /// Writes as much as the peer takes, and gives up once it takes nothing for `wait`; whether all of it went out.
    pub(crate) fn raw_within(&mut self, bytes: &[u8], wait: Duration) -> bool {
        let _ = self.source.stream.stream.set_write_timeout(Some(wait));
        let written = self.source.stream.stream.write_all(bytes).is_ok();
        let _ = self.source.stream.stream.set_write_timeout(Some(PATIENCE * 3));
        written
    }

    /// Whether more bytes come within `wait`.
    pub(crate) fn has_bytes_within(&mut self, wait: Duration) -> bool {
        let _ = self.source.stream.stream.set_read_timeout(Some(wait));
        let came = self.source.more().is_ok();
        let _ = self.source.stream.stream.set_read_timeout(None);
        came
    }

    /// Answers 101 with that protocol, and sends these bytes with it. From here on the connection carries no HTTP.
    pub(crate) fn switch(&mut self, protocol: &str, early: &[u8]) {
        let lines = [("Upgrade", protocol), ("Connection", "keep-alive, Upgrade")];
        let mut bytes = (head(101, &lines) + "\r\n").into_bytes();
        bytes.extend_from_slice(early);
        self.raw(bytes);
        self.over = true;
    }

    /// The next bytes that come, whatever they are; none at the end of the connection.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        if self.source.buffer.is_empty() {
            let _ = self.source.more();
        }
        std::mem::take(&mut self.source.buffer)
    }

    /// Waits until the peer closes; what it still sends is recorded and dropped.
    pub(crate) fn wait_closed(&mut self) {
        self.over = true;
        while self.source.more().is_ok() {
            self.source.buffer.clear();
        }
    }

    /// Says that nothing more will come (FIN).
    pub(crate) fn finish(&mut self) {
        let _ = self.source.stream.stream.shutdown(Shutdown::Write);
    }

    /// Closes in order (FIN), then reads until the peer closes too.
    pub(crate) fn close(&mut self) {
        self.finish();
        self.wait_closed();
    }

    /// Closes at once, with RST.
    pub(crate) fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.source.stream.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        let mut connections = self.state.connections.lock().unwrap();
        // The record's copy of the socket would keep it open.
        connections[self.index].stream = None;
        self.over = true;
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> String {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Some Reason\r\n{fields}")
}

/// Length and checksum of a stream of bytes (FNV-1a, by words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) length: u64,
    pub(crate) sum: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self { length: 0, sum: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Digest {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        // By words, for speed; the pieces that are added are multiples of eight, but for the last.
        for word in bytes.chunks(8) {
            let mut eight = [0; 8];
            eight[..word.len()].copy_from_slice(word);
            self.sum = (self.sum ^ u64::from_le_bytes(eight)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
