//! The request's body on its way to an endpoint.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::exchange::{Body, BodyStream, Error, Frame, Headers};
use crate::http1::{Framing, encode};
use crate::runtime::clock;

use super::connection::Connection;
use super::exchange::Waits;

/// Pieces of a body are kept up to this sum, so that a small one can be sent again.
const KEPT: usize = 16 * 1024;

/// A client that has owed the next piece of its body for this long has stalled: what the service does then (it closes,
/// or answers that it failed) is the client's doing.
const STALLED: Duration = Duration::from_millis(250);

/// A request body while it is being sent.
pub struct Upload {
    body: Body,
    /// What has been taken from the body so far.
    kept: Kept,
    framing: Framing,
    done: bool,
    /// How many bytes of content have been taken from the client.
    bytes: u64,
    /// When the last piece moved.
    moved: Option<Instant>,
    /// Since when the client owes the next piece while nothing waits to be written.
    owed_since: Option<Instant>,
    /// The same of the piece that is being written.
    owed_before: Option<Instant>,
}

/// The part of a body that can be sent again. Boxed, as most requests have no body and an upload is moved.
#[derive(Default)]
enum Kept {
    /// Nothing has been taken yet.
    #[default]
    Nothing,
    /// All that has been taken.
    All(Box<Taken>),
    /// It was too much to keep: the body cannot be sent again.
    TooMuch,
}

/// What has been taken from a body: of most it is one piece, which is not copied.
#[derive(Default)]
struct Taken {
    first: Bytes,
    rest: BytesMut,
    /// What has followed the content.
    trailers: Option<Headers>,
}

/// Why an upload ended early.
pub(super) enum Broken {
    /// The client's side failed: that is the exchange's error.
    Client(Error),
    /// The endpoint takes no more; it may have answered already.
    Endpoint(io::Error),
}

impl Upload {
    pub(in crate::upstream) fn new(body: Body) -> Upload {
        let framing = match body.length() {
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        Upload {
            body,
            kept: Kept::Nothing,
            framing,
            done: framing == Framing::None,
            bytes: 0,
            moved: None,
            owed_since: None,
            owed_before: None,
        }
    }

    /// Whether there is nothing to send.
    pub(in crate::upstream) fn is_empty(&self) -> bool {
        self.framing == Framing::None
    }

    /// A finished upload, left where one was taken.
    pub(super) fn finished() -> Upload {
        Upload::new(Body::Empty)
    }

    /// What is left where an upload was taken in the middle of it: nothing that could be sent again.
    pub(super) fn gone() -> Upload {
        Upload { kept: Kept::TooMuch, ..Upload::finished() }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether everything has been taken from the client.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// When the last piece moved.
    pub(super) fn moved(&self) -> Option<Instant> {
        self.moved
    }

    /// Whether the next move is the client's: everything it sent has been written, and more is to come.
    pub(super) fn awaits_client(&self) -> bool {
        self.owed_since.is_some()
    }

    /// Whether the client is the one that holds the exchange up: it has owed the next piece for a while, or owes it now
    /// and has sent less than the rate allows since the exchange began.
    pub(super) fn holds_up(&self, now: Instant, waits: Waits) -> bool {
        let Some(owed_since) = self.owed_since else { return false };
        let took = now.saturating_duration_since(waits.started);
        let trickles =
            took >= 2 * STALLED && (self.bytes as f64) < took.as_secs_f64() * waits.upload_rate as f64;
        trickles || now.saturating_duration_since(owed_since) >= STALLED
    }

    /// By how much the upload puts the deadline off: the time in which it moved, but no more than its bytes take at
    /// `rate` bytes a second.
    pub(super) fn extension(&self, started: Instant, rate: u64) -> Duration {
        let Some(moved) = self.moved else { return Duration::ZERO };
        let earned = Duration::from_secs_f64(self.bytes as f64 / rate.max(1) as f64);
        moved.saturating_duration_since(started).min(earned)
    }

    /// Whether the body can be sent from its start again.
    pub(in crate::upstream) fn can_rewind(&self) -> bool {
        !matches!(self.kept, Kept::TooMuch)
    }

    pub(in crate::upstream) fn rewind(&mut self) {
        if !self.can_rewind() {
            return;
        }
        let rest = std::mem::take(&mut self.body);
        let kept = std::mem::take(&mut self.kept);
        self.done = self.framing == Framing::None;
        (self.moved, self.owed_since, self.bytes) = (None, None, 0);
        self.body = match kept {
            Kept::All(taken) => {
                let Taken { first, rest: more, trailers } = *taken;
                Body::Stream(Box::new(Again { front: [first, more.freeze()], rest, trailers }))
            }
            Kept::Nothing | Kept::TooMuch => rest,
        };
    }

    fn keep(&mut self, data: &Bytes) {
        let Some(taken) = self.taken() else { return };
        if taken.first.len() + taken.rest.len() + data.len() > KEPT {
            self.kept = Kept::TooMuch;
        } else if taken.first.is_empty() {
            taken.first = data.clone();
        } else {
            taken.rest.extend_from_slice(data);
        }
    }

    /// Where what is taken is kept; `None` once it was too much.
    fn taken(&mut self) -> Option<&mut Taken> {
        if matches!(self.kept, Kept::Nothing) {
            self.kept = Kept::All(Box::default());
        }
        if let Kept::All(taken) = &mut self.kept { Some(taken) } else { None }
    }

    /// Moves pieces from the body into the connection until the body has ended and everything is written.
    pub(super) fn poll_drive(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while !self.done && connection.out.has_room() {
                match self.body.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        self.owed_before = self.owed_since.take().or(self.owed_before);
                        self.push(frame, connection);
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Broken::Client(error))),
                    Poll::Ready(None) => {
                        (self.done, self.owed_since) = (true, None);
                        if self.framing == Framing::Chunked {
                            encode::last_chunk(connection.out.small(), None);
                        }
                    }
                    Poll::Pending if connection.out.is_empty() => {
                        self.owed_since.get_or_insert_with(clock::now);
                        return Poll::Pending;
                    }
                    Poll::Pending => break,
                }
            }
            if connection.out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let before = connection.out.written();
            let flushed = connection.poll_flush(cx);
            // Also where only a part has left: a service that reads slowly does read.
            if self.framing != Framing::None && connection.out.written() > before {
                self.moved = Some(clock::now());
            }
            match ready!(flushed) {
                Ok(()) => self.owed_before = None,
                Err(error) => {
                    // The piece met a connection that had ended while it was awaited.
                    self.owed_since = self.owed_before;
                    return Poll::Ready(Err(Broken::Endpoint(error)));
                }
            }
        }
    }

    /// Takes the next frame of the body, for a protocol that frames and times it by itself.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let frame = ready!(self.body.poll_frame(cx));
        if !matches!(frame, Some(Ok(Frame::Data(_)) | Err(_))) {
            // Its end is the last that moves, and may come long after its last byte.
            self.moved = Some(clock::now());
        }
        match &frame {
            Some(Ok(Frame::Data(data))) => {
                self.bytes += data.len() as u64;
                self.keep(data);
            }
            Some(Ok(Frame::Trailers(trailers))) => {
                self.done = true;
                if let Some(taken) = self.taken() {
                    taken.trailers = Some(trailers.clone());
                }
            }
            None => self.done = true,
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    /// Notes when the last piece moved, and since when the client owes the next one, if it does.
    pub(super) fn note(&mut self, moved: Option<Instant>, owed_since: Option<Instant>) {
        (self.moved, self.owed_since) = (moved.max(self.moved), owed_since);
    }

    fn push(&mut self, frame: Frame, connection: &mut Connection) {
        if let Frame::Data(data) = &frame {
            self.bytes += data.len() as u64;
            self.keep(data);
        }
        match frame {
            // A chunk of no bytes would be the end.
            Frame::Data(data) if data.is_empty() => {}
            Frame::Data(data) if self.framing == Framing::Chunked => {
                encode::chunk_head(connection.out.small(), data.len());
                connection.out.push(data, b"\r\n");
            }
            Frame::Data(data) => connection.out.push(data, b""),
            Frame::Trailers(trailers) => {
                self.done = true;
                if self.framing == Framing::Chunked {
                    encode::last_chunk(connection.out.small(), Some(&trailers));
                }
                if let Some(taken) = self.taken() {
                    taken.trailers = Some(trailers);
                }
            }
        }
    }
}

/// A body of which a part has been taken already: that part, then what is left, then the trailers that have been taken.
struct Again {
    front: [Bytes; 2],
    rest: Body,
    trailers: Option<Headers>,
}

impl BodyStream for Again {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        match self.front.iter_mut().find(|piece| !piece.is_empty()) {
            Some(piece) => Poll::Ready(Some(Ok(Frame::Data(std::mem::take(piece))))),
            None => match ready!(self.rest.poll_frame(cx)) {
                None => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::Trailers(trailers)))),
                frame => Poll::Ready(frame),
            },
        }
    }

    fn remaining(&self) -> Option<u64> {
        let front: usize = self.front.iter().map(Bytes::len).sum();
        Some(self.rest.length()? + front as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_many_pieces_is_sent_again_as_it_was() {
        let mut upload = Upload::new(Body::Bytes(Bytes::from_static(b"unused")));
        for piece in [&b"one "[..], b"two ", b"three"] {
            upload.keep(&Bytes::from_static(piece));
        }
        upload.body = Body::Empty;
        upload.rewind();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let again = runtime.block_on(std::mem::take(&mut upload.body).collect(100)).unwrap();
        assert_eq!(again, "one two three");
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let mut upload = Upload::new(Body::Empty);
        (0..KEPT).for_each(|_| upload.keep(&Bytes::from_static(b"x")));
        assert!(upload.can_rewind());
        upload.keep(&Bytes::from_static(b"x"));
        assert!(!upload.can_rewind());
    }

    #[test]
    fn keeping_many_pieces_moves_each_byte_a_few_times_at_most() {
        let mut upload = Upload::new(Body::Empty);
        let (mut moved, mut room) = (0, 0);
        for _ in 0..KEPT {
            upload.keep(&Bytes::from_static(b"x"));
            let rest = &upload.taken().unwrap().rest;
            // A piece is copied once; what came before it only where there was no room for it.
            moved += 1;
            if rest.capacity() > room {
                moved += rest.len();
                room = rest.capacity();
            }
        }
        assert!(moved <= 4 * KEPT, "{moved} bytes were moved for {KEPT}");
        assert!(room <= 2 * KEPT, "{room} bytes are held");
    }

    #[test]
    fn a_deadline_is_put_off_by_moving_bytes_at_the_rate_or_faster() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut upload = Upload::new(Body::Empty);
        assert_eq!(upload.extension(start, 100), Duration::ZERO);
        (upload.bytes, upload.moved) = (1_000, Some(start + seconds(3)));
        assert_eq!(upload.extension(start, 100), seconds(3), "it took less than its bytes may");
        upload.moved = Some(start + seconds(60));
        assert_eq!(upload.extension(start, 100), seconds(10), "a trickle buys no more than its bytes");
    }

    #[test]
    fn a_client_has_stalled_once_it_owed_a_piece_for_a_while() {
        let start = Instant::now();
        let mut upload = Upload::new(Body::Empty);
        let long = Duration::from_secs(60);
        let waits = Waits {
            deadline: start + long,
            whole: false,
            term: crate::exchange::Term::Head,
            response: long,
            idle: long,
            upload_rate: 1_000,
            upgrades: false,
            limits: crate::config::AnswerLimits::default(),
            started: start,
        };
        assert!(!upload.holds_up(start + STALLED, waits));
        upload.owed_since = Some(start);
        assert!(upload.awaits_client() && !upload.holds_up(start + STALLED / 2, waits));
        assert!(upload.holds_up(start + STALLED, waits));
        // A byte now and then is no more than a stall.
        let later = start + Duration::from_secs(2);
        (upload.owed_since, upload.bytes) = (Some(later), 1_999);
        assert!(upload.holds_up(later, waits));
        upload.bytes = 2_000;
        assert!(!upload.holds_up(later, waits));
    }
}
