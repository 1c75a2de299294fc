//! The body of a response that did not come in one piece with its head.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::exchange::{BodyStream, CallPhase, Cause, Error, Extent, Failure, Frame, Party};
use crate::http1::{Decoder, Framing, Piece};
use crate::runtime::clock;
use crate::upstream::transport::connection::Room;
use crate::upstream::transport::exchange::{PAUSED, Waits};
use crate::upstream::transport::late::Ends;
use crate::upstream::transport::upload::{Broken, Upload};

use super::lease::{Connections, Lent};

/// Reads the body, and sends what is left of the request meanwhile.
pub(super) struct AnswerBody {
    decoder: Decoder,
    lent: Lent<Arc<Connections>>,
    upload: Upload,
    reusable: bool,
    waits: Waits,
    /// When a byte came last.
    last: Instant,
    /// When a piece was handed on that has not been asked on from yet.
    handed: Option<Instant>,
    /// The longest time that a piece lay there before the next was asked for: the client's time.
    paused: Duration,
}

/// What a read of the connection came to.
enum Read {
    More,
    Closed,
    Failed(Failure, String),
    Pending,
}

impl AnswerBody {
    pub(super) fn new(
        lent: Lent<Arc<Connections>>,
        (framing, reusable): (Framing, bool),
        upload: Upload,
        waits: Waits,
        now: Instant,
    ) -> AnswerBody {
        AnswerBody {
            decoder: Decoder::new(framing),
            lent,
            upload,
            reusable,
            waits,
            last: now,
            handed: Some(now),
            paused: Duration::ZERO,
        }
    }

    /// The body has ended as it should: the connection goes back if nothing is left in it.
    fn end(&mut self) {
        let (reusable, is_done) = (self.reusable, self.upload.is_done());
        if let Some(connection) = self.lent.connection()
            && reusable
            && is_done
            && connection.out.is_empty()
            && connection.read.is_empty()
        {
            self.lent.settle(self.last);
        }
        self.lent.end();
    }

    fn fail(&mut self, failure: Failure, source: &str) -> Poll<Option<Result<Frame, Error>>> {
        self.lent.end();
        let sent = if self.upload.is_done() { Extent::Whole } else { Extent::Part };
        Poll::Ready(Some(Err(Error::from(failure.after(sent, Extent::Part)).source(source))))
    }

    /// Sends what is left of the request; an error is the client's.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(connection) = self.lent.connection() else { return Ok(()) };
        if self.upload.is_done() && connection.out.is_empty() {
            return Ok(());
        }
        match self.upload.poll_drive(connection, cx) {
            Poll::Ready(Err(Broken::Client(error))) => {
                let failure = Failure::of_client(error.kind()).after(Extent::Part, Extent::Part);
                return Err(error.failed(failure));
            }
            Poll::Ready(Err(Broken::Endpoint(_))) => {
                self.reusable = false;
                self.upload = Upload::finished();
                connection.out.clear();
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Ok(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Read {
        let room = Room::Body(self.decoder.length().unwrap_or(u64::MAX));
        let Some(connection) = self.lent.connection() else { return Read::Closed };
        match connection.poll_read(room, cx) {
            Poll::Ready(Ok(0)) => return Read::Closed,
            Poll::Ready(Ok(_)) => {
                self.last = clock::now();
                return Read::More;
            }
            Poll::Ready(Err(error)) => return Read::Failed(self.broke(Cause::Reset), error.to_string()),
            Poll::Pending => {}
        }
        let ends = Ends::of_body(&self.waits, &self.upload, self.last);
        if connection.timer.poll(ends.at(), cx).is_pending() {
            return Read::Pending;
        }
        let (failure, why) = ends.without_body(&self.upload);
        Read::Failed(failure, why.to_owned())
    }

    fn was_cut_off(&mut self) -> bool {
        self.lent.connection().is_some_and(|connection| connection.stream.was_cut_off())
    }

    /// The service broke off, unless the client kept it waiting.
    fn broke(&self, cause: Cause) -> Failure {
        if self.upload.holds_up(clock::now(), self.waits) {
            return Failure::new(Party::Client, CallPhase::Send, Cause::Stalled);
        }
        if self.paused >= PAUSED {
            return Failure::new(Party::Client, CallPhase::Body, Cause::Stalled);
        }
        Failure::new(Party::Service, CallPhase::Body, cause)
    }
}

impl BodyStream for AnswerBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        if let Some(handed) = self.handed.take() {
            self.paused = self.paused.max(clock::now().saturating_duration_since(handed));
        }
        if let Err(error) = self.poll_upload(cx) {
            self.lent.end();
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            let Some(connection) = self.lent.connection() else { return Poll::Ready(None) };
            match self.decoder.decode(&mut connection.read) {
                Ok(Piece::Data(data)) => {
                    self.handed = Some(clock::now());
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::Trailers(trailers)))),
                Ok(Piece::End) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Ok(Piece::More) => {}
                Err(why) => {
                    return self.fail(Failure::new(Party::Service, CallPhase::Body, Cause::Protocol), why);
                }
            }
            match self.poll_read(cx) {
                Read::More => {}
                Read::Closed => {
                    return match self.decoder.eof() {
                        // What ends with the connection is whole only where the service says that it has ended.
                        Ok(_) if self.was_cut_off() => {
                            self.fail(self.broke(Cause::Incomplete), "closed without close_notify")
                        }
                        Ok(_) => {
                            self.lent.end();
                            Poll::Ready(None)
                        }
                        Err(why) => self.fail(self.broke(Cause::Incomplete), why),
                    };
                }
                Read::Failed(failure, why) => return self.fail(failure, &why),
                Read::Pending => return Poll::Pending,
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        self.decoder.length()
    }

    fn ends_surely(&self) -> bool {
        !self.decoder.is_until_close()
    }
}
