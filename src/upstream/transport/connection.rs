//! One connection to an endpoint, with its buffers and its timer; reused until either side ends it.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;

use super::pool::{MAX_IDLE, Session};
use crate::net::{Outbox, Stream, Timer};

/// Room for a small answer: more than most need, so that one read takes it whole.
pub(super) const SMALL_READ: usize = 8 * 1024;

/// Room for a piece of a large body.
const LARGE_READ: usize = 128 * 1024;

/// Room for a head and the beginning of its body, where that may have to wait for a client among many.
const HEAD_READ: usize = 1024;

/// How large an answer was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    /// It fits [`HEAD_READ`] with its head, or nothing is known.
    Small,
    /// It fits [`SMALL_READ`].
    Medium,
    /// It does not.
    Large,
}

impl Size {
    /// That of a body of so many bytes.
    pub(super) fn of(bytes: u64) -> Size {
        match bytes {
            0..=512 => Size::Small,
            _ if bytes <= SMALL_READ as u64 => Size::Medium,
            _ => Size::Large,
        }
    }
}

/// How much is read at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// For a head, with as much behind it as the last answer had.
    Head,
    /// The same for one of many streams of a client. What is read waits until the client has room for it, for how long
    /// nobody knows: of an answer that one read does not take anyway, it is little.
    HeadOfStream,
    /// For a body of which so much is still to come.
    Body(u64),
}

/// One connection to an endpoint.
pub struct Connection {
    pub(super) stream: Stream,
    pub(super) read: BytesMut,
    pub(super) out: Outbox,
    pub(super) timer: Timer,
    peer: SocketAddr,
    /// When it is too old to be used again, if ever.
    expires: Option<Instant>,
    /// Until when it can carry the next exchange, where it rests.
    usable_until: Option<Instant>,
    /// How large the last answer was: the next one, most likely of the same kind, is then read in one piece.
    pub(super) last: Size,
}

impl Connection {
    pub(super) fn new(stream: Stream, peer: SocketAddr, expires: Option<Instant>) -> Connection {
        Connection {
            stream,
            read: BytesMut::new(),
            out: Outbox::new(),
            timer: Timer::new(),
            peer,
            expires,
            usable_until: None,
            last: Size::Small,
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Takes it apart: the stream, and what was read of it and is not used yet.
    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.read)
    }

    /// Reads once.
    pub(super) fn poll_read(&mut self, room: Room, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match room {
            Room::Body(expected) if expected <= SMALL_READ as u64 => SMALL_READ,
            Room::Body(_) => LARGE_READ,
            Room::Head if self.last == Size::Large => LARGE_READ,
            Room::HeadOfStream if self.last != Size::Medium => HEAD_READ,
            Room::Head | Room::HeadOfStream => SMALL_READ,
        };
        self.read.reserve(room);
        self.stream.poll_read_buffer(&mut self.read, cx)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(&mut self.stream, cx)
    }
}

impl Session for Connection {
    fn rest(&mut self, now: Instant) {
        let idle = now + MAX_IDLE;
        self.usable_until = Some(self.expires.map_or(idle, |expires| expires.min(idle)));
        self.out.clear();
        if self.read.capacity() > 2 * SMALL_READ {
            self.read = BytesMut::new();
        }
    }

    fn is_usable(&mut self, now: Instant) -> bool {
        self.usable_until.is_some_and(|until| now < until) && self.stream.is_quiet()
    }

    fn poll_disturbed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_readable(cx).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Network;

    #[test]
    fn a_connection_ages_by_its_rest_and_by_its_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let now = Instant::now();
            let connection = async |expires| {
                Connection::new(Network::default().connect(address).await.unwrap(), address, expires)
            };
            let mut plain = connection(None).await;
            assert!(!plain.is_usable(now), "it carries a request");
            plain.rest(now);
            assert!(plain.is_usable(now + MAX_IDLE / 2));
            assert!(!plain.is_usable(now + MAX_IDLE), "the service may close it just now");
            let mut named = connection(Some(now + MAX_IDLE / 2)).await;
            named.rest(now);
            assert!(named.is_usable(now + MAX_IDLE / 4));
            assert!(!named.is_usable(now + MAX_IDLE / 2), "its name may lead elsewhere by now");
        });
        drop(listener);
    }
}
