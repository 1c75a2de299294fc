//! The end of a connection by this side: closing it with unread bytes, or before more of them come, would reset it, and the
//! reset may take the last answer from the client before it is read (RFC 9112 section 9.6).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::http1::Piece;
use crate::net::{Stream, Timer};
use crate::pipeline::Core;
use crate::runtime::clock;
use crate::snapshot::Limits;

use super::wire::Wire;

/// A client in the middle of its body that sends nothing for so long has read its answer, or will not.
const GAP_WITHIN: Duration = Duration::from_secs(5);

/// The same of a client that has sent a whole request: only a further one can be on its way.
const GAP_BEHIND: Duration = Duration::from_secs(1);

/// The longest time, and the longest silence behind a whole request, while the gateway is ending.
const ENDING: Duration = Duration::from_secs(2);
const GAP_ENDING: Duration = Duration::from_millis(500);

/// How much of what a client still sends is read and thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Linger {
    /// The longest time.
    pub(super) time: Duration,
    /// The longest time without a byte.
    pub(super) gap: Duration,
    /// The most bytes.
    pub(super) bytes: u64,
    /// As `time` and `gap` in a gateway that is ending.
    ending: (Duration, Duration),
}

impl Linger {
    /// After an answer to a request that has not been read to its end.
    pub(super) fn within_request(limits: &Limits) -> Linger {
        let (time, gap) = (limits.linger, GAP_WITHIN);
        Linger { time, gap, bytes: limits.linger_bytes, ending: (time.min(ENDING), gap) }
    }

    /// After an answer to a whole request.
    pub(super) fn behind_request(limits: &Limits) -> Linger {
        let within = Linger::within_request(limits);
        Linger { gap: GAP_BEHIND, ending: (within.ending.0, GAP_ENDING), ..within }
    }

    /// After an answer to a request that has been read to its end, or has not.
    pub(super) fn after(limits: &Limits, whole: bool) -> Linger {
        if whole { Linger::behind_request(limits) } else { Linger::within_request(limits) }
    }

    /// Reads the rest of a body that nobody wants, as far as the bounds let it. One that is known to be longer is left alone.
    pub(super) async fn read_rest(self, wire: &Wire, is_ending: impl Fn() -> bool) {
        let length = wire.decoder.borrow().length();
        if length.is_some_and(|length| length > self.bytes) {
            return;
        }
        let began = clock::now();
        let (mut left, mut last) = (self.bytes, began);
        poll_fn(|cx| {
            let (time, gap) = if is_ending() { self.ending } else { (self.time, self.gap) };
            let end = began + time;
            while left > 0 && last < end {
                match wire.decode() {
                    Ok(Piece::Data(data)) => {
                        left = left.saturating_sub(data.len() as u64);
                        wire.received.set(wire.received.get() + data.len() as u64);
                        last = clock::now();
                    }
                    Ok(Piece::Trailers(_) | Piece::End) => {
                        wire.body_done.set(true);
                        break;
                    }
                    Err(_) => break,
                    Ok(Piece::More) => match wire.poll_read_body(None, cx) {
                        Poll::Ready(Ok(1..)) => {}
                        Poll::Ready(_) => break,
                        Poll::Pending => return wire.poll_timer(end.min(last + gap), cx),
                    },
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Closes in stages: first this side, so that the client can read the answer to its end, then, once the client has
    /// ended its own or a bound is reached, the connection. It holds no memory of its own meanwhile.
    pub(super) async fn discard(self, wire: &Wire, core: &Core, is_ending: impl Fn() -> bool) {
        wire.finish_writing();
        *wire.buffer() = BytesMut::new();
        let read = |cx: &mut Context<'_>| {
            wire.poll_lent(&core.read_buffer, cx).map_ok(|lent| {
                let read = lent.bytes().len();
                lent.used(read);
                read
            })
        };
        self.read_on(read, |deadline, cx| wire.poll_timer(deadline, cx), is_ending).await;
    }

    /// The same for a connection that is read in another way.
    pub(super) async fn discard_stream(
        self,
        stream: &RefCell<Stream>,
        core: &Core,
        is_ending: impl Fn() -> bool,
    ) {
        stream.borrow().finish_writing();
        stream.borrow().discard_rest();
        let mut timer = Timer::new();
        let read = |cx: &mut Context<'_>| {
            let mut buffer = core.read_buffer.borrow_mut();
            stream.borrow_mut().poll_read_lent(&mut buffer, cx).map_ok(|()| buffer.bytes().len())
        };
        self.read_on(read, |deadline, cx| timer.poll(deadline, cx), is_ending).await;
    }

    async fn read_on(
        self,
        mut read: impl FnMut(&mut Context<'_>) -> Poll<io::Result<usize>>,
        mut timer: impl FnMut(Instant, &mut Context<'_>) -> Poll<()>,
        is_ending: impl Fn() -> bool,
    ) {
        let began = clock::now();
        let (mut left, mut last) = (self.bytes, began);
        poll_fn(|cx| {
            let (time, gap) = if is_ending() { self.ending } else { (self.time, self.gap) };
            let end = began + time;
            loop {
                match read(cx) {
                    Poll::Ready(Ok(read @ 1..)) => {
                        (left, last) = (left.saturating_sub(read as u64), clock::now());
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer(end.min(last + gap), cx),
                }
                if left == 0 || last >= end {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
