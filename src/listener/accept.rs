//! Takes connections and starts a task for each, on the core that should have it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::exchange::{CoreId, Name};
use crate::net::network::Queue;
use crate::net::{Facts, Listener, Stream};
use crate::pipeline::Core;
use crate::runtime::{clock, task, time};
use crate::snapshot::Watcher;
use crate::telemetry::OperatorLog;
use crate::telemetry::log::Level;
use crate::telemetry::metrics::{ListenerMetrics, RefusedBy};

use super::connections::{BoundReached, ConnectionBounds, ConnectionCounts, OpenConnection, client_address};
use super::handoff::{Counted, Handoff, Moved};
use super::http1;
use super::http2::{self, OPENING};
use super::secure::Secure;
use super::wire::Wire;

/// After an error that will not pass by itself at once (no free descriptor), accepting rests this long.
const BREATHE: Duration = Duration::from_millis(50);

/// One listener on one core.
pub struct Door {
    /// Its number, the same on every core.
    pub listener: usize,
    /// Its name.
    pub name: Name,
    /// The core.
    pub core: Rc<Core>,
    /// The core's view of what the listener does.
    pub watcher: Rc<Watcher>,
    /// The balance between the cores.
    pub handoff: Arc<Handoff>,
    /// The numbers of its connections.
    pub metrics: Arc<ListenerMetrics>,
    /// The open connections of all cores.
    pub connections: Arc<ConnectionCounts>,
    /// What a TLS handshake needs.
    pub secure: Rc<Secure>,
    /// Where refused connections are reported.
    pub log: Arc<OperatorLog>,
}

impl Door {
    /// Accepts until the future is dropped. A socket error is told to `trouble`, and accepting goes on.
    pub async fn accept(&self, socket: &Listener, mut trouble: impl FnMut(io::Error)) {
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.place(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    trouble(error);
                    time::sleep(BREATHE).await;
                }
            }
        }
    }

    /// Accepts what the kernel holds already and no more: before a listener closes, so that nobody who was let in
    /// is sent away.
    pub fn accept_queued(&self, queue: &Queue) {
        loop {
            match queue.accept() {
                Ok((stream, peer)) => self.place(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes a connection, on the core that should have it.
    pub fn place(&self, stream: Stream, peer: SocketAddr) {
        // A connection beyond a bound is closed as the socket is dropped: before anything is read.
        let Some(counted) = self.count(peer) else { return };
        let balanced = self.handoff.place(self.core.id.0);
        if balanced.core() == self.core.id.0 {
            return self.start(stream, peer, counted, balanced);
        }
        let Ok(stream) = stream.detach() else { return };
        let moved = Moved { stream, peer, listener: self.listener, counted, balanced };
        if let Err(moved) = self.handoff.give(self.core.id.0, moved) {
            self.take(moved);
        }
    }

    /// Counts a connection, unless it is beyond a bound of the configuration in force.
    fn count(&self, peer: SocketAddr) -> Option<OpenConnection> {
        let mut bounds = ConnectionBounds::default();
        let mut client = Some(peer.ip());
        if let Some(pinned) = self.watcher.pin() {
            bounds.process = pinned.snapshot.sources.config.overload.max_connections;
            bounds.client = pinned.plan.limits.connections_per_client;
            // A proxy's connections carry many clients.
            client = client.filter(|ip| !pinned.address_trusts(ip.to_canonical()));
        }
        match self.connections.take(bounds, self.listener, client) {
            Ok(counted) => Some(counted),
            Err(bound) => {
                self.report_refused(bound, peer);
                None
            }
        }
    }

    fn report_refused(&self, bound: BoundReached, peer: SocketAddr) {
        let by =
            if matches!(bound, BoundReached::Client(_)) { RefusedBy::Client } else { RefusedBy::Process };
        self.metrics.refused(self.core.id, by);
        let name = &self.name;
        let write = |message: std::fmt::Arguments<'_>| {
            let topic = ("connections", &**name);
            self.log.write_seldom(clock::now(), Level::Warn, topic, message, &[]);
        };
        match bound {
            BoundReached::Process(most) => write(format_args!(
                "listener `{name}` refuses connections: `overload.max_connections` ({most}) is reached"
            )),
            BoundReached::OpenFiles(most) => write(format_args!(
                "listener `{name}` refuses connections: the limit of open files leaves room for {most}"
            )),
            BoundReached::Client(most) => write(format_args!(
                "listener `{name}` refuses connections of {}: `connections_per_client` ({most}) is reached",
                client_address(peer.ip())
            )),
        }
    }

    /// Takes a connection over from another core.
    pub fn take(&self, moved: Moved) {
        if let Ok(stream) = moved.stream.attach() {
            self.start(stream, moved.peer, moved.counted, moved.balanced);
        }
    }

    fn start(&self, stream: Stream, peer: SocketAddr, counted: OpenConnection, balanced: Counted) {
        self.metrics.opened(self.core.id);
        let opened = Opened { metrics: Arc::clone(&self.metrics), core: self.core.id };
        let guards = (balanced, counted, opened);
        let (core, watcher) = (Rc::clone(&self.core), Rc::clone(&self.watcher));
        task::spawn_local(connection(stream, peer, core, watcher, Rc::clone(&self.secure), guards));
    }
}

/// What counts an open connection, until it is dropped.
type Guards = (Counted, OpenConnection, Opened);

#[allow(clippy::manual_async_fn, reason = "an async function would hold twice what it is given")]
fn connection(
    stream: Stream,
    peer: SocketAddr,
    core: Rc<Core>,
    watcher: Rc<Watcher>,
    secure: Rc<Secure>,
    guards: Guards,
) -> impl Future<Output = ()> {
    async move {
        // Dropped in every case, also should serving panic: the gate goes on without this connection.
        let _entered = poll_fn(|cx| Poll::Ready(core.enter(cx.waker().clone()))).await;
        serve(stream, peer, &core, watcher, secure).await;
        drop(guards);
    }
}

/// One open connection in the counters.
struct Opened {
    metrics: Arc<ListenerMetrics>,
    core: CoreId,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.metrics.closed(self.core);
    }
}

/// Whether only the connection failed, not the socket it came in by.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[allow(clippy::manual_async_fn, reason = "an async function would hold twice what it is given")]
fn serve(
    stream: Stream,
    peer: SocketAddr,
    core: &Rc<Core>,
    watcher: Rc<Watcher>,
    secure: Rc<Secure>,
) -> impl Future<Output = ()> {
    async move {
        let _ = stream.send_at_once();
        // A silent connection holds no snapshot.
        let pinned = watcher.pin().map(|pinned| (pinned.plan.limits.head_timeout, pinned.plan.tls.is_some()));
        let Some((head_timeout, tls)) = pinned else { return };
        let (stream, facts) = if tls {
            // Boxed: a connection without TLS would carry its size, and one with it longer than it takes.
            match Box::pin(secure.shake(stream, peer, core, &watcher)).await {
                Some(secured) => secured,
                None => return,
            }
        } else {
            let facts = stream.facts(peer);
            (stream, facts)
        };
        drop(secure);
        let head_by = clock::now() + head_timeout;
        let agreed = Agreed::of(&facts);
        let wire = Rc::new(Wire::new(stream, facts, BytesMut::new()));
        let speaks_h2 = match agreed {
            Agreed::Http2 => Some(true),
            // A preface is no request of HTTP/1.
            Agreed::Http1 => poll_fn(|cx| poll_protocol(&wire, core, head_by, cx)).await.map(|_| false),
            Agreed::Nothing => poll_fn(|cx| poll_protocol(&wire, core, head_by, cx)).await,
        };
        match speaks_h2 {
            Some(true) => {
                let Ok(wire) = Rc::try_unwrap(wire) else { return };
                let (stream, facts, read) = wire.into_parts();
                // Boxed: a connection that speaks HTTP/1 would carry its size.
                Box::pin(http2::serve(stream, read, facts, Rc::clone(core), watcher)).await;
            }
            Some(false) => {
                let connection = http1::Connection { wire, core: Rc::clone(core), watcher };
                connection.serve(head_by).await;
            }
            None => {}
        }
    }
}

/// What a client has agreed on before it speaks (ALPN, RFC 7301).
enum Agreed {
    Http1,
    Http2,
    /// Its first bytes show it.
    Nothing,
}

impl Agreed {
    fn of(facts: &Facts) -> Agreed {
        match facts.tls.as_ref().and_then(|tls| tls.alpn.as_deref()) {
            Some(b"h2") => Agreed::Http2,
            Some(_) => Agreed::Http1,
            None => Agreed::Nothing,
        }
    }
}

/// Reads until the protocol is clear; `None` where the client left or said nothing in time.
fn poll_protocol(
    wire: &Wire,
    core: &Core,
    head_by: Instant,
    cx: &mut std::task::Context<'_>,
) -> Poll<Option<bool>> {
    loop {
        {
            let read = wire.buffer();
            if !read.is_empty() {
                let common = read.len().min(OPENING.len());
                if read[..common] != OPENING[..common] {
                    return Poll::Ready(Some(false));
                }
                if common == OPENING.len() {
                    return Poll::Ready(Some(true));
                }
            }
        }
        match wire.poll_read_head(cx) {
            Poll::Ready(Ok(0)) if wire.buffer().is_empty() => return Poll::Ready(None),
            Poll::Ready(Ok(0)) => return Poll::Ready(Some(false)),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Pending if core.is_draining() && wire.buffer().is_empty() => return Poll::Ready(None),
            Poll::Pending if wire.poll_timer(head_by, cx).is_pending() => return Poll::Pending,
            // A head that was begun is answered with 408 by its codec; silence is not answered.
            Poll::Pending => return Poll::Ready((!wire.buffer().is_empty()).then_some(false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F>(_: impl FnOnce(Stream, SocketAddr, Rc<Core>, Rc<Watcher>, Rc<Secure>, Guards) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_takes_little_memory_while_it_rests() {
        let task = size(|stream, peer, core, watcher, secure, guards| {
            task::polled(connection(stream, peer, core, watcher, secure, guards))
        });
        assert!(task + size_of::<Wire>() <= 1100, "{task} and {} bytes", size_of::<Wire>());
    }
}
