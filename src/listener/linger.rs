//! The end of a connection whose client is still sending: closing it with unread bytes would reset it, and the reset may
//! take the answer from the client before it is read (RFC 9112 section 9.6).

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;

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
        let began = clock::now();
        let (mut left, mut last) = (self.bytes, began);
        poll_fn(|cx| {
            let end = began + if is_ending() { self.time.min(ENDING) } else { self.time };
            loop {
                match wire.poll_lent(&core.read_buffer, cx) {
                    Poll::Ready(Ok(lent)) if !lent.bytes().is_empty() => {
                        let read = lent.bytes().len();
                        lent.used(read);
                        (left, last) = (left.saturating_sub(read as u64), clock::now());
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return wire.poll_timer(end.min(last + GAP), cx),
                }
                if left == 0 || last >= end {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
