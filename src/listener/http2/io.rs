//! A connection as the library reads and writes it, behind a guard that judges the frames.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;
use crate::runtime::clock;

use super::frames::{HEADER, goaway};
use super::guard::Guard;
use super::written::Written;

/// What the library's end of a connection and the one who watches over it share.
pub(super) struct Shared {
    stream: RefCell<Stream>,
    guard: RefCell<Guard>,
    written: RefCell<Written>,
}

impl Shared {
    /// Why the guard has the connection end, if it has.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.guard.borrow().fault()
    }

    /// Says why the connection ends where the library cannot yet, as far as it can be said at once.
    pub(super) fn go_away(&self, reason: Reason, cx: &mut Context<'_>) {
        let frame = goaway(self.guard.borrow().last(), reason.into());
        let _ = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, &frame);
    }

    /// The connection itself.
    pub(super) fn stream(&self) -> &RefCell<Stream> {
        &self.stream
    }
}

/// A connection of which a part has been read.
pub(super) struct Io {
    shared: Rc<Shared>,
    /// What was read before the protocol was clear.
    read: BytesMut,
    /// A header that was held back until it was whole, and how much of it is left.
    header: [u8; HEADER],
    left: usize,
}

impl Io {
    /// A connection of which `read` has been read already.
    pub(super) fn new(stream: Stream, read: BytesMut) -> Io {
        let (guard, written) = (RefCell::new(Guard::new(clock::now())), RefCell::default());
        let shared = Rc::new(Shared { stream: RefCell::new(stream), guard, written });
        Io { shared, read, header: [0; HEADER], left: 0 }
    }

    /// What it shares.
    pub(super) fn shared(&self) -> Rc<Shared> {
        Rc::clone(&self.shared)
    }

    /// Reads without a judgement.
    fn poll_read_raw(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut *self.shared.stream.borrow_mut()).poll_read(cx, room);
        }
        let take = self.read.len().min(room.remaining());
        room.put_slice(&self.read[..take]);
        self.read.advance(take);
        if self.read.is_empty() {
            // Its memory goes back: most connections are idle.
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the rest of a header that has come in part; ready once that has changed, with whether there is more to
    /// come.
    fn poll_header(&mut self, missing: usize, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; HEADER];
        let mut room = ReadBuf::new(&mut bytes[..missing]);
        ready!(self.poll_read_raw(cx, &mut room))?;
        if let Some(header) = self.shared.guard.borrow_mut().complete(room.filled(), clock::now) {
            (self.header, self.left) = (header, HEADER);
        }
        Poll::Ready(Ok(!room.filled().is_empty()))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.left > 0 {
                let take = self.left.min(room.remaining());
                room.put_slice(&self.header[HEADER - self.left..][..take]);
                self.left -= take;
                return Poll::Ready(Ok(()));
            }
            let (fault, missing) = {
                let guard = self.shared.guard.borrow();
                (guard.fault(), guard.missing())
            };
            // Who watches over the connection ends it; nothing more is read for the library.
            if fault.is_some() {
                return Poll::Pending;
            }
            if let Some(missing) = missing {
                if !ready!(self.poll_header(missing, cx))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let before = room.filled().len();
            ready!(self.poll_read_raw(cx, room))?;
            let read = &mut room.filled_mut()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = self.shared.guard.borrow_mut().inspect(read, clock::now);
            room.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Shared { stream, guard, written } = &*self.shared;
        let (mut stream, mut guard, mut written) =
            (stream.borrow_mut(), guard.borrow_mut(), written.borrow_mut());
        let mut stream = Pin::new(&mut *stream);
        let corrected: Vec<u8>;
        let corrected_part: [IoSlice<'_>; 1];
        // What the guard has found is said as it is.
        let is_open = guard.fault().is_none();
        let correction =
            is_open.then(|| written.correction(parts, |taken_up| guard.code(taken_up))).flatten();
        let parts = match correction {
            None => parts,
            // The parts before it first: what is not written is offered once more.
            Some(correction) if parts[..correction.part].iter().any(|part| !part.is_empty()) => {
                &parts[..correction.part]
            }
            Some(correction) => {
                let mut bytes = parts[correction.part].to_vec();
                bytes[correction.at] = correction.byte;
                corrected = bytes;
                corrected_part = [IoSlice::new(&corrected)];
                &corrected_part
            }
        };
        let count = ready!(stream.as_mut().poll_write_vectored(cx, parts))?;
        written.note(parts, count, &mut guard, clock::now);
        Poll::Ready(Ok(count))
    }
}
