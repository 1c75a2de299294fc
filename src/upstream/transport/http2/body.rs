//! The body of a response that did not come whole with its head.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;

use crate::exchange::{BodyStream, CallPhase, Cause, Error, Extent, Failure, Frame, Party};
use crate::net::Timer;
use crate::runtime::clock;
use crate::upstream::transport::exchange::{PAUSED, Waits};
use crate::upstream::transport::late::Ends;
use crate::upstream::transport::upload::{Broken, Upload};

use super::failure::Ending;
use super::head;
use super::send::Sending;
use super::session::Slot;

/// Reads the body, and sends what is left of the request meanwhile. Dropped before its end, it resets the stream.
pub(super) struct AnswerBody {
    // The stream goes before its slot: the slot is free once the stream has ended.
    body: RecvStream,
    sending: Option<Sending>,
    slot: Slot,
    /// A piece that came with the head.
    first: Option<Bytes>,
    /// Bytes that are still to come, where the service has said how many.
    left: Option<u64>,
    upload: Upload,
    waits: Waits,
    timer: Timer,
    /// When a byte came last.
    last: Instant,
    /// When a piece was handed on that has not been asked on from yet.
    handed: Option<Instant>,
    /// The longest time that a piece lay there before the next was asked for: the client's time.
    paused: Duration,
    ended: bool,
}

/// Why a body did not come to its end.
enum Fault {
    /// The stream broke off.
    Library(h2::Error),
    /// What came is not to be passed on.
    Malformed(&'static str),
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Fault {
        Fault::Library(error)
    }
}

/// Takes a piece from a stream: as many bytes may come in its place. None where it has no bytes, as some services end
/// their bodies.
pub(super) fn take(body: &mut RecvStream, data: Bytes) -> Option<Bytes> {
    // It fails only where more is given back than came.
    let _ = body.flow_control().release_capacity(data.len());
    Some(data).filter(|data| !data.is_empty())
}

impl AnswerBody {
    pub(super) fn new(
        slot: Slot,
        (body, first, left): (RecvStream, Option<Bytes>, Option<u64>),
        (sending, upload): (Option<Sending>, Upload),
        (waits, timer): (Waits, Timer),
    ) -> AnswerBody {
        let now = clock::now();
        AnswerBody {
            body,
            sending,
            slot,
            first,
            left,
            upload,
            waits,
            timer,
            last: now,
            handed: Some(now),
            paused: Duration::ZERO,
            ended: false,
        }
    }

    fn fail(&mut self, failure: Failure, source: impl std::fmt::Display) -> Error {
        self.ended = true;
        let sent = if self.upload.is_done() { Extent::Whole } else { Extent::Part };
        Error::from(failure.after(sent, Extent::Part)).source(source)
    }

    /// Sends what is left of the request; an error is the client's.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        match sending.poll_drive(&mut self.upload, cx) {
            Poll::Ready(Err(Broken::Client(error))) => {
                self.ended = true;
                let failure = Failure::of_client(error.kind()).after(Extent::Part, Extent::Part);
                return Err(error.failed(failure));
            }
            Poll::Ready(Err(Broken::Endpoint(_))) => {
                self.sending = None;
                self.upload = Upload::finished();
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Ok(())
    }

    fn piece(&mut self, data: Bytes) -> Frame {
        let now = clock::now();
        (self.last, self.handed) = (now, Some(now));
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        Frame::Data(data)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Fault>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(self.piece(first))));
        }
        while let Some(data) = ready!(self.body.poll_data(cx)).transpose()? {
            if let Some(data) = take(&mut self.body, data) {
                self.slot.heard(clock::now());
                return Poll::Ready(Some(Ok(self.piece(data))));
            }
        }
        let trailers = ready!(self.body.poll_trailers(cx))?;
        let trailers = trailers.map(|lines| head::trailers(&lines)).transpose().map_err(Fault::Malformed)?;
        // What the service has not read of the request by now it does not want: the stream is over either way.
        (self.ended, self.sending) = (true, None);
        self.slot.succeeded();
        self.slot.leave();
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        Poll::Ready(trailers.map(|trailers| Ok(Frame::Trailers(trailers))))
    }

    /// The stream broke off: for the client where it kept the service waiting.
    fn broke(&self, ending: Ending) -> Failure {
        if ending == Ending::Stream && self.upload.holds_up(clock::now(), self.waits) {
            return Failure::new(Party::Client, CallPhase::Send, Cause::Stalled);
        }
        if ending == Ending::Stream && self.paused >= PAUSED {
            return Failure::new(Party::Client, CallPhase::Body, Cause::Stalled);
        }
        ending.in_body()
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(sending) = &self.sending {
            sending.note(&mut self.upload);
        }
        let ends = Ends::of_body(&self.waits, &self.upload, self.last);
        ready!(self.timer.poll(ends.at(), cx));
        let (failure, why) = ends.without_body(&self.upload);
        if failure.party == Party::Service {
            self.slot.suspect(self.last);
        }
        Poll::Ready(self.fail(failure, why))
    }
}

impl BodyStream for AnswerBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if let Some(handed) = self.handed.take() {
            self.paused = self.paused.max(clock::now().saturating_duration_since(handed));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if let Err(error) = self.poll_upload(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_piece(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(fault))) => {
                let (ending, why) = match fault {
                    Fault::Library(error) => {
                        let why = self.slot.why().map_or_else(|| error.to_string(), str::to_owned);
                        (Ending::of(&error), why)
                    }
                    Fault::Malformed(why) => (Ending::Protocol, why.to_owned()),
                };
                let failure = self.broke(ending);
                Poll::Ready(Some(Err(self.fail(failure, why))))
            }
            Poll::Pending => self.poll_late(cx).map(|error| Some(Err(error))),
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.left
    }
}
