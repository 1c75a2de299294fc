//! HTTP/2 with prior knowledge: a session on the `h2` crate, and bare frames for what no honest client sends.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use super::PATIENCE;

/// Runs one test's future on a runtime of its own, within the bound.
#[track_caller]
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE * 2, future).await })
        .expect("an end within the bound")
}

/// Like [`super::until`], while sessions go on.
pub(crate) async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut looks = looks();
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "in vain awaited: {what}");
        looks.tick().await;
    }
}

/// Ticks between two looks at a condition.
pub(crate) fn looks() -> tokio::time::Interval {
    tokio::time::interval(std::time::Duration::from_millis(2))
}

/// One HTTP/2 connection.
pub(crate) struct Session {
    send: SendRequest<Bytes>,
    /// The connection's end: `Ok` after a clean close or GOAWAY without error.
    pub(crate) driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// One whole answer.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Session {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// Whether the peer's settings have come, and take extended CONNECT (RFC 8441).
    pub(crate) fn connects_extended(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// Opens a stream. With `end`, no body follows.
    pub(crate) async fn open(&self, request: Request<()>, end: bool) -> Result<Stream, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (answer, body) = send.send_request(request, end)?;
        Ok(Stream { answer, body })
    }

    /// One request without a body, and its whole answer.
    pub(crate) async fn fetch(&self, method: &str, path: &str) -> Result<Whole, h2::Error> {
        self.open(request(method, path, &[]), true).await?.whole().await
    }

    /// One request with a body, and its whole answer.
    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Result<Whole, h2::Error> {
        let mut stream = self.open(request("POST", path, &[]), false).await?;
        stream.body.send_data(Bytes::copy_from_slice(body), true)?;
        stream.whole().await
    }
}

/// One stream of a session.
pub(crate) struct Stream {
    pub(crate) answer: ResponseFuture,
    pub(crate) body: SendStream<Bytes>,
}

impl Stream {
    pub(crate) async fn whole(self) -> Result<Whole, h2::Error> {
        let (parts, body) = self.answer.await?.into_parts();
        let (body, trailers) = read(body).await?;
        Ok(Whole { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
    }

    /// The head of the answer alone.
    pub(crate) async fn head(self) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
        Ok((self.answer.await?, self.body))
    }
}

/// Reads a body to its end.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        let _ = body.flow_control().release_capacity(part.len());
        all.extend_from_slice(&part);
    }
    let trailers = body.trailers().await?;
    Ok((all, trailers))
}

/// A request for `gw.test`.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("http://gw.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// Type, flags, stream and payload of a frame.
pub(crate) type Frame = (u8, u8, u32, Vec<u8>);

/// A connection for frames made by hand.
pub(crate) struct Frames<S = TcpStream>(S);

impl Frames {
    /// Connects and sends the preface and empty settings.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    /// The header block of `GET path`, without compression.
    pub(crate) fn get_block(path: &str) -> Vec<u8> {
        let text = |out: &mut Vec<u8>, index: u8, value: &str| {
            out.push(index);
            out.push(u8::try_from(value.len()).unwrap());
            out.extend_from_slice(value.as_bytes());
        };
        // Indexed :method GET and :scheme http; :path and :authority as literals.
        let mut block = vec![0x82, 0x86];
        text(&mut block, 0x04, path);
        text(&mut block, 0x01, "gw.test");
        block
    }
}

impl<S: Read + Write> Frames<S> {
    /// Sends the preface and empty settings on a connection.
    pub(crate) fn over(mut stream: S) -> Self {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut frames = Self(stream);
        let _ = frames.send(4, 0, 0, &[]);
        frames
    }

    /// One frame; false once the peer takes no more.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).is_ok()
    }

    /// The next frame; `None` at the end of the connection, of any kind.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        self.read().ok().flatten()
    }

    /// The next frame; `None` at the clean end of the connection.
    pub(crate) fn read(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        if self.0.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut head[1..])?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        Ok(Some((head[3], head[4], stream, payload)))
    }
}
