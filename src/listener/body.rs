//! The body of an HTTP/1 request, read as it is asked for and no faster.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::exchange::{BodyStream, Error, ErrorKind, Frame, Passing};
use crate::http1::{Decoder, Framing, Piece};
use crate::runtime::clock;

use super::pace::{BodyBounds, Pace};
use super::wire::Wire;

/// The body of one request.
pub(super) struct ClientBody {
    wire: Rc<Wire>,
    bounds: BodyBounds,
    pace: Pace,
    /// Which trailer fields go on; none unless the route's action asks for some.
    trailers: Option<Passing>,
}

impl ClientBody {
    pub(super) fn new(wire: Rc<Wire>, framing: Framing, bounds: BodyBounds) -> ClientBody {
        wire.decoder.replace(Decoder::new(framing));
        ClientBody { wire, bounds, pace: Pace::default(), trailers: None }
    }

    fn end(&self) -> Poll<Option<Result<Frame, Error>>> {
        self.wire.body_done.set(true);
        Poll::Ready(None)
    }

    fn fail(&self, error: Error) -> Poll<Option<Result<Frame, Error>>> {
        Poll::Ready(Some(Err(error.closing())))
    }

    /// The interim answer goes out before the first byte is waited for (RFC 9110 section 10.1.1). What the socket does not
    /// take of it goes out with the next look for the body.
    fn continues(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.wire.owes_continue.take() {
            self.wire.out().small().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        match self.wire.poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }
}

impl BodyStream for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if self.wire.body_done.get() {
            return Poll::Ready(None);
        }
        loop {
            let piece = self.wire.decode();
            match piece {
                Ok(Piece::Data(data)) => {
                    let received = self.wire.received.get() + data.len() as u64;
                    self.wire.received.set(received);
                    self.pace.moved(data.len() as u64, clock::now(), self.bounds);
                    if received > self.bounds.max {
                        return self.fail(Error::new(ErrorKind::BodyTooLarge));
                    }
                    if self.wire.decoder.borrow().is_done() {
                        self.wire.body_done.set(true);
                    }
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                // What a head may not say must not be said behind the body either (RFC 9110 section 6.5.1).
                Ok(Piece::Trailers(trailers)) => {
                    let ended = self.end();
                    let passing = self.trailers.as_ref().and_then(|passing| passing.filtered(trailers));
                    return passing
                        .map_or(ended, |trailers| Poll::Ready(Some(Ok(Frame::Trailers(trailers)))));
                }
                Ok(Piece::End) => return self.end(),
                Ok(Piece::More) => {}
                Err(reason) => {
                    return self.fail(Error::new(ErrorKind::MalformedRequest).reason("body").detail(reason));
                }
            }
            let continues = self.wire.owes_continue.get() || !self.wire.out().is_empty();
            if continues && let Err(error) = self.continues(cx) {
                return self.fail(Error::new(ErrorKind::ClientClosed).reason("body").source(error));
            }
            let expected = self.wire.decoder.borrow().length();
            match self.wire.poll_read_body(expected, cx) {
                Poll::Ready(Ok(0)) => {
                    return self.fail(
                        Error::new(ErrorKind::ClientClosed).reason("body").source("the body broke off"),
                    );
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return self.fail(Error::new(ErrorKind::ClientClosed).reason("body").source(error));
                }
                Poll::Pending => {
                    let late = self.pace.deadline(clock::now(), self.bounds);
                    ready!(self.wire.poll_timer(late, cx));
                    return self.fail(Error::new(ErrorKind::RequestTimeout).reason("body"));
                }
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.wire.decoder.borrow().length()
    }

    fn pass_trailers(&mut self, which: Passing, _: bool) {
        self.trailers = Some(which);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use crate::net::{Duplex, Facts, Stream};

    use super::*;

    /// A client that sends nothing, and takes nothing until the test lets it.
    #[derive(Default)]
    struct Taken {
        takes: bool,
        bytes: Vec<u8>,
    }

    struct Silent(Arc<Mutex<Taken>>);

    impl AsyncRead for Silent {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Silent {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let mut taken = self.0.lock().unwrap();
            if !taken.takes {
                return Poll::Pending;
            }
            taken.bytes.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Duplex for Silent {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn is_quiet(&self) -> bool {
            true
        }

        fn has_failed(&self) -> bool {
            false
        }

        fn finish_writing(&self) {}
    }

    #[test]
    fn a_100_that_the_socket_does_not_take_at_once_goes_out_later() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        let client = Arc::new(Mutex::new(Taken::default()));
        let facts = Facts::plain("192.0.2.1:4000".parse().unwrap());
        let stream = Stream::memory(Silent(Arc::clone(&client)));
        let wire = Rc::new(Wire::new(stream, facts, BytesMut::new()));
        wire.body_done.set(false);
        wire.owes_continue.set(true);
        let bounds = BodyBounds { max: 100, timeout: Duration::from_secs(60), rate: 1, unpaced: false };
        let body = RefCell::new(ClientBody::new(Rc::clone(&wire), Framing::Length(2), bounds));
        let asks = || body.borrow_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(asks() && client.lock().unwrap().bytes.is_empty());
        client.lock().unwrap().takes = true;
        assert!(asks() && asks());
        assert_eq!(client.lock().unwrap().bytes, b"HTTP/1.1 100 Continue\r\n\r\n", "and once");
    }
}
