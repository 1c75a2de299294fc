//! A service that speaks HTTP/2 by the library `h2`, each stream a task; and one that speaks it frame by frame.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use tokio::sync::{mpsc, oneshot};

use super::PATIENCE;

/// What becomes of one stream.
type Script = dyn Fn(Call) -> Pin<Box<dyn Future<Output = ()>>>;

/// A request and what answers it.
pub(crate) struct Call {
    pub(crate) head: http::request::Parts,
    pub(crate) body: RecvStream,
    pub(crate) reply: SendResponse<Bytes>,
    /// The connection it came on, from 0.
    pub(crate) connection: usize,
}

/// What a test has all connections do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Announce that they end; streams under way go on.
    GoAway,
    /// End in the middle of everything.
    Die,
}

/// A scripted service. It ends when dropped.
pub(crate) struct H2Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    orders: Arc<Mutex<Vec<mpsc::UnboundedSender<Order>>>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    ended: usize,
    /// `METHOD path` of every request, and its connection.
    requests: Vec<(usize, String)>,
}

impl Call {
    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The whole body.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Ok(data)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(data.len());
            all.extend_from_slice(&data);
        }
        all
    }

    /// Answers at once.
    pub(crate) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) {
        let body = body.into();
        if let Ok(mut stream) = self.reply.send_response(head(status, headers), body.is_empty())
            && !body.is_empty()
        {
            let _ = stream.send_data(body, true);
        }
    }
}

/// The head of an answer.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> http::Response<()> {
    let mut head = http::Response::builder().status(status);
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    head.body(()).unwrap()
}

/// Sends bytes at the pace of the other side; gives whether all were taken.
pub(crate) async fn send_all(stream: &mut h2::SendStream<Bytes>, mut data: Bytes, end: bool) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(64 * 1024));
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return false };
        let part = data.split_to(room.min(data.len()));
        if stream.send_data(part, end && data.is_empty()).is_err() {
            return false;
        }
    }
    true
}

impl H2Origin {
    /// Serves every stream by a script.
    pub(crate) fn serve<F: Future<Output = ()> + 'static>(
        builder: &Builder,
        script: impl Fn(Call) -> F + Send + 'static,
    ) -> H2Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, orders, builder) = (Arc::<Mutex<Seen>>::default(), Arc::default(), builder.clone());
        let (stop, stopped) = oneshot::channel();
        let shared = (Arc::clone(&seen), Arc::clone(&orders));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            let script: Rc<Script> = Rc::new(move |call| Box::pin(script(call)));
            runtime.unwrap().block_on(async move {
                tokio::select! {
                    () = accept(listener, builder, script, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        H2Origin { address, seen, orders, _stop: stop }
    }

    /// One that says what it was asked, with the body it got.
    pub(crate) fn echo() -> H2Origin {
        H2Origin::serve(&Builder::new(), |mut call| async move {
            let body = call.body().await;
            let mut text = format!("{} {} {:?}\n", call.head.method, call.head.uri, call.head.version);
            for (name, value) in &call.head.headers {
                text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            text.push('\n');
            let all = [text.as_bytes(), &body].concat();
            call.answer(200, &[("content-type", "text/plain")], all);
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// How many connections have ended.
    pub(crate) fn ended(&self) -> usize {
        self.seen.lock().unwrap().ended
    }

    /// Every request: its connection, and `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Every connection announces that it ends; streams under way go on.
    pub(crate) fn go_away(&self) {
        self.order(Order::GoAway);
    }

    /// Every connection ends in the middle of everything.
    pub(crate) fn die(&self) {
        self.order(Order::Die);
    }

    fn order(&self, order: Order) {
        for connection in self.orders.lock().unwrap().iter() {
            let _ = connection.send(order);
        }
    }
}

type Shared = (Arc<Mutex<Seen>>, Arc<Mutex<Vec<mpsc::UnboundedSender<Order>>>>);

async fn accept(listener: TcpListener, builder: Builder, script: Rc<Script>, (seen, orders): Shared) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (order, ordered) = mpsc::unbounded_channel();
        orders.lock().unwrap().push(order);
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.connections += 1;
            seen.connections - 1
        };
        let (builder, script, seen) = (builder.clone(), Rc::clone(&script), Arc::clone(&seen));
        tokio::task::spawn_local(async move {
            connection(stream, builder, script, (number, &seen), ordered).await;
            seen.lock().unwrap().ended += 1;
        });
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    builder: Builder,
    script: Rc<Script>,
    (number, seen): (usize, &Mutex<Seen>),
    mut ordered: mpsc::UnboundedReceiver<Order>,
) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut open = true;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, reply))) = accepted else { return };
                let (head, body) = request.into_parts();
                let line = format!("{} {}", head.method, head.uri.path());
                seen.lock().unwrap().requests.push((number, line));
                tokio::task::spawn_local(script(Call { head, body, reply, connection: number }));
            }
            order = ordered.recv(), if open => match order {
                Some(Order::GoAway) => connection.graceful_shutdown(),
                Some(Order::Die) => return,
                None => open = false,
            }
        }
    }
}

/// The types of frames (RFC 9113 section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One connection of a service that writes its own frames.
pub(crate) struct Frames<S>(pub(crate) S);

impl<S: Read + Write> Frames<S> {
    /// Reads the client's preface.
    pub(crate) fn preface(&mut self) {
        let mut preface = [0; 24];
        self.0.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Raw> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).ok()?;
        let [a, b, c, kind, flags, w, x, y, z] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Raw { kind, flags, stream: u32::from_be_bytes([w & 0x7f, x, y, z]), payload })
    }

    /// The next frame of this kind.
    #[track_caller]
    pub(crate) fn until(&mut self, kind: u8) -> Raw {
        loop {
            let frame = self.next().expect("a frame of this kind");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame);
        let _ = self.0.flush();
    }

    /// Reads the preface, and says the settings: pairs of a name and a value.
    pub(crate) fn shake_hands(&mut self, settings: &[(u16, u32)]) {
        self.preface();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(kind::SETTINGS, 0, 0, &payload);
    }

    /// A whole answer with status 200 and this body.
    pub(crate) fn answer(&mut self, stream: u32, body: &[u8]) {
        // `:status: 200` from the static table (RFC 7541 appendix A).
        self.send(kind::HEADERS, 0x4 | u8::from(body.is_empty()), stream, &[0x88]);
        if !body.is_empty() {
            self.send(kind::DATA, 0x1, stream, body);
        }
    }

    /// A GOAWAY without debug data.
    pub(crate) fn go_away(&mut self, last: u32, code: u32) {
        self.send(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    }

    /// Ends one stream.
    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.send(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }
}

/// Serves each connection by a script on a thread of its own, with its number from 0.
pub(crate) fn frames(script: impl Fn(usize, Frames<TcpStream>) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, script) = (stream.unwrap(), Arc::clone(&script));
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || script(number, Frames(stream)));
        }
    });
    address
}
