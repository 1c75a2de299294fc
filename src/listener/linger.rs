//! The end of a connection whose client is still sending: closing it with unread bytes would reset it, and the reset may
//! take the answer from the client before it is read (RFC 9112 section 9.6).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::net::{Stream, Timer};
use crate::pipeline::Core;
use crate::runtime::clock;

use super::wire::Wire;

/// A client that sends nothing for so long has read its answer, or will not.
pub(super) const GAP: Duration = Duration::from_secs(5);

/// How long such a client is read while the gateway is ending.
const ENDING: Duration = Duration::from_secs(2);

/// How much of what a client still sends is read and thrown away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Linger {
    /// The longest time.
    pub(super) time: Duration,
    /// The most bytes.
    pub(super) bytes: u64,
}

impl Linger {
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
            let end = began + if is_ending() { self.time.min(ENDING) } else { self.time };
            loop {
                match read(cx) {
                    Poll::Ready(Ok(read @ 1..)) => {
                        (left, last) = (left.saturating_sub(read as u64), clock::now());
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer(end.min(last + GAP), cx),
                }
                if left == 0 || last >= end {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
