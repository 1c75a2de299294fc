//! From the request to the head of its response, and who is at fault where that does not come.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{Method, StatusCode};

use crate::exchange::{
    Body, CallPhase, Cause, Error, Extent, Failure, Headers, Interims, Party, Request, Response,
};
use crate::net::Timer;
use crate::runtime::clock;
use crate::upstream::transport::exchange::{Exchanged, Waits};
use crate::upstream::transport::late::Ends;
use crate::upstream::transport::upload::{Broken, Upload};

use super::body::{self, AnswerBody};
use super::failure::Ending;
use super::head;
use super::piece::Piece;
use super::send::Sending;
use super::session::Slot;

/// A request on its stream, until the head of the response is there.
pub(super) struct Exchanging<'a> {
    // The stream goes before its slot: the slot is free once the stream has ended.
    response: ResponseFuture,
    sending: Sending,
    slot: Slot,
    upload: &'a mut Upload,
    waits: Waits,
    interims: Option<&'a dyn Interims>,
    was_head: bool,
    /// Why nothing more can be sent, once that is so.
    broken: Option<io::Error>,
    /// Bytes of the interim responses that have come.
    interim: usize,
    timer: Timer,
}

/// The head of a response, and what reads its body.
struct Answer {
    status: StatusCode,
    headers: Headers,
    length: Option<u64>,
    body: RecvStream,
    /// What of the body has come with the head.
    first: Option<Bytes>,
}

impl<'a> Exchanging<'a> {
    /// Opens a stream for a request.
    ///
    /// # Errors
    /// The session takes no stream any more, or the head is none that HTTP/2 can carry; nothing was sent.
    pub(super) fn begin(
        mut slot: Slot,
        request: &Request,
        upload: &'a mut Upload,
        (waits, interims): (Waits, Option<&'a dyn Interims>),
    ) -> Result<Exchanging<'a>, Error> {
        let head = head::request(request, upload.framing(), slot.scheme())?;
        let ends = upload.is_empty();
        let opened = slot.sender().send_request(head, ends);
        let (response, stream): (_, SendStream<Piece>) = opened.map_err(|error| {
            let ending = match Ending::of(&error) {
                Ending::Session | Ending::Protocol => Ending::Refused,
                ending => ending,
            };
            slot.retire();
            Error::from(ending.before_head()).source(error)
        })?;
        let sending = Sending::new(stream, waits.started, ends);
        let was_head = request.method == Method::HEAD;
        let (broken, interim, timer) = (None, 0, Timer::new());
        Ok(Exchanging { slot, response, sending, upload, waits, interims, was_head, broken, interim, timer })
    }

    /// The response, as soon as its head is there.
    ///
    /// # Errors
    /// An error with its [`Failure`]; the stream is then reset.
    pub(super) async fn answer(mut self) -> Result<Exchanged, Error> {
        let answer = poll_fn(|cx| self.poll_head(cx)).await?;
        Ok(self.exchanged(answer))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        if self.broken.is_none() {
            match self.sending.poll_drive(self.upload, cx) {
                Poll::Ready(Err(Broken::Client(error))) => {
                    let failure = self.reached(Failure::of_client(error.kind()));
                    return Poll::Ready(Err(error.failed(failure)));
                }
                // A service may answer before it has read everything, and want no more of it.
                Poll::Ready(Err(Broken::Endpoint(error))) => self.broken = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        loop {
            match self.response.poll_informational(cx) {
                Poll::Ready(Some(Ok(head))) => self.note_interim(&head)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.ended(error))),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(self.judge(response, cx)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.ended(error))),
            Poll::Pending => self.poll_late(cx),
        }
    }

    /// Interim responses go where they are awaited, within the bound of a head.
    fn note_interim(&mut self, head: &http::Response<()>) -> Result<(), Error> {
        self.slot.heard(clock::now());
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            // RFC 9113 section 8.6.
            return Err(self.malformed("a 101 in HTTP/2"));
        }
        self.interim += head::size(head.headers()) + ":status: 100\r\n".len();
        // As many bytes as the final head may have itself: their number is bounded by that, and how long they may come
        // by the timeouts.
        if self.interim > self.waits.limits.head as usize {
            return Err(self.malformed("interim responses without end"));
        }
        // 100 is what the gateway did not ask for (RFC 9110 section 15.2.1).
        if let Some(interims) = self.interims.filter(|_| head.status() != StatusCode::CONTINUE) {
            interims.pass(head.status(), head::interim(head.headers()));
        }
        Ok(())
    }

    fn judge(&mut self, response: http::Response<RecvStream>, cx: &mut Context<'_>) -> Result<Answer, Error> {
        self.slot.heard(clock::now());
        let (head, mut body) = response.into_parts();
        let judged = head::response(head.status, &head.headers, self.waits.limits, self.was_head);
        let (headers, length) = judged.map_err(|why| self.malformed(why))?;
        // An error stays in the stream, where the body is read.
        let first = match body.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => body::take(&mut body, data),
            _ => None,
        };
        Ok(Answer { status: head.status, headers, length, body, first })
    }

    fn malformed(&self, why: &'static str) -> Error {
        let failure = Failure::new(Party::Service, CallPhase::Head, Cause::Protocol);
        Error::from(failure.after(self.sent(), Extent::Part)).source(why)
    }

    /// The stream ended without a head. Where the client kept the service waiting, that is why.
    fn ended(&mut self, error: h2::Error) -> Error {
        let ending = Ending::of(&error);
        let failure = match ending {
            Ending::Refused if self.interim == 0 => {
                self.slot.refused(error.is_go_away());
                // It was not processed, however much of it has left.
                return Error::from(ending.before_head()).source(error);
            }
            Ending::Stream | Ending::Session if self.upload.holds_up(clock::now(), self.waits) => {
                Failure::new(Party::Client, CallPhase::Send, Cause::Stalled)
            }
            ending => ending.before_head(),
        };
        let why = self.slot.why().map(str::to_owned);
        Error::from(self.reached(failure)).source(why.unwrap_or_else(|| error.to_string()))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Error>> {
        let is_sent = self.is_sent();
        let ends = Ends::of_head(&self.waits, self.upload, is_sent);
        if self.timer.poll(ends.at(), cx).is_pending() {
            return Poll::Pending;
        }
        // What the library has taken since is not known before it is asked.
        self.sending.note(self.upload);
        let is_sent = self.is_sent();
        let ends = Ends::of_head(&self.waits, self.upload, is_sent);
        if self.timer.poll(ends.at(), cx).is_pending() {
            return Poll::Pending;
        }
        let failure = ends.without_head(self.upload, is_sent);
        if failure.party == Party::Service {
            self.slot.suspect(self.waits.started);
        }
        Poll::Ready(Err(self.reached(failure).into()))
    }

    fn is_sent(&self) -> bool {
        self.upload.is_done() && self.sending.is_sent()
    }

    fn sent(&self) -> Extent {
        if self.is_sent() { Extent::Whole } else { Extent::Part }
    }

    /// A failure, with how far the exchange has come.
    fn reached(&self, failure: Failure) -> Failure {
        failure.after(self.sent(), if self.interim == 0 { Extent::Nothing } else { Extent::Part })
    }

    fn exchanged(self, answer: Answer) -> Exchanged {
        let Exchanging { slot, sending, upload, waits, was_head, broken, timer, .. } = self;
        let Answer { status, headers, length, body, first } = answer;
        sending.note(upload);
        let now = clock::now();
        let (client_stalled, uploaded) = (upload.holds_up(now, waits), upload.moved());
        let mut response = Response { status, headers, body: Body::Empty };
        let bodiless = was_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_sent = broken.is_some() || (upload.is_done() && sending.is_sent());
        if bodiless {
            slot.succeeded();
            return Exchanged { response, uploaded, client_stalled };
        }
        if body.is_end_stream() {
            // What the service has not read of the request by now it does not want. The end goes out with the head: the
            // status of a gRPC call may stand there, and then nothing may follow.
            if !is_sent {
                *upload = Upload::gone();
            }
            slot.succeeded();
            response.body = first.map_or(Body::Empty, Body::Bytes);
            return Exchanged { response, uploaded, client_stalled };
        }
        let upload = if is_sent {
            Upload::finished()
        } else {
            // It goes on while the response is read, and cannot be sent again.
            std::mem::replace(upload, Upload::gone())
        };
        let sending = (!is_sent).then_some(sending);
        let body = AnswerBody::new(slot, (body, first, length), (sending, upload), (waits, timer));
        response.body = Body::Stream(Box::new(body));
        Exchanged { response, uploaded, client_stalled }
    }
}
