//! From the request to the head of its response, and who is at fault where that does not come.

use std::io;
use std::task::{Context, Poll};

use bytes::Buf;
use http::{Method, StatusCode, Version};

use crate::exchange::{
    CallPhase, Cause, Error, Extent, Failure, HeaderId, Headers, Interims, Party, Request,
};
use crate::http1::{HeadLimits, ResponseHead, parse_response, upgrade};
use crate::runtime::clock;
use crate::upstream::transport::connection::{Connection, Room};
use crate::upstream::transport::exchange::Waits;
use crate::upstream::transport::late::Ends;
use crate::upstream::transport::upload::{Broken, Upload};

/// A request on its way, until the head of the response is there.
pub(super) struct Exchanging<'a> {
    connection: &'a mut Connection,
    upload: &'a mut Upload,
    waits: Waits,
    request: &'a Request,
    interims: Option<&'a dyn Interims>,
    /// Why nothing more can be written, once that is so.
    broken: Option<io::Error>,
    /// Bytes of the interim responses that have come.
    interim: usize,
}

/// The service's connection broke.
pub(super) fn broken() -> Failure {
    Failure::new(Party::Service, CallPhase::Head, Cause::Reset)
}

impl<'a> Exchanging<'a> {
    pub(super) fn new(
        connection: &'a mut Connection,
        upload: &'a mut Upload,
        waits: Waits,
        (request, interims): (&'a Request, Option<&'a dyn Interims>),
    ) -> Exchanging<'a> {
        Exchanging { connection, upload, waits, request, interims, broken: None, interim: 0 }
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        if self.broken.is_none() && !self.is_sent() {
            match self.upload.poll_drive(self.connection, cx) {
                Poll::Ready(Err(Broken::Client(error))) => {
                    let failure = self.reached(Failure::of_client(error.kind()));
                    return Poll::Ready(Err(error.failed(failure)));
                }
                // A service may answer before it has read everything and close: what it said is still to be read.
                Poll::Ready(Err(Broken::Endpoint(error))) => self.broken = Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        let room = if self.request.version == Version::HTTP_2 { Room::HeadOfStream } else { Room::Head };
        loop {
            match self.connection.poll_read(room, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed(None))),
                Poll::Ready(Ok(_)) => match self.parse() {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(why) => {
                        let failure = Failure::new(Party::Service, CallPhase::Head, Cause::Protocol);
                        return Poll::Ready(Err(Error::from(self.reached(failure)).source(why)));
                    }
                },
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.closed(Some(error)))),
                Poll::Pending => return self.poll_late(cx),
            }
        }
    }

    /// The final head, if it is there; interim responses before it go where they are awaited.
    fn parse(&mut self) -> Result<Option<ResponseHead>, String> {
        let limits = self.waits.limits;
        let limits = HeadLimits { head: limits.head as usize, headers: limits.headers as usize, target: 0 };
        let was_head = self.request.method == Method::HEAD;
        loop {
            let parsed = parse_response(&self.connection.read, &limits, Headers::new(), was_head);
            let head = match parsed {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let what = Error::from(error);
                    return Err(what
                        .public_detail()
                        .unwrap_or("the response's head is too large")
                        .to_owned());
                }
            };
            self.connection.read.advance(head.len);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return self.switched(head).map(Some).map_err(str::to_owned);
            }
            if !head.status.is_informational() {
                return Ok(Some(head));
            }
            self.interim += head.len;
            // As many bytes as the final head may have itself: their number is bounded by that, and how long they may come
            // by the timeouts.
            if self.interim > limits.head {
                return Err("interim responses without end".to_owned());
            }
            // 100 is what the gateway has asked for, or did not need (RFC 9110 section 15.2.1).
            if let Some(interims) = self.interims.filter(|_| head.status != StatusCode::CONTINUE) {
                interims.pass(head.status, head.headers);
            }
            if self.connection.read.is_empty() {
                return Ok(None);
            }
        }
    }

    /// A 101, which a service may send to a request that has offered what it switches to (RFC 9110 section 7.8).
    #[cold]
    fn switched(&self, head: ResponseHead) -> Result<ResponseHead, &'static str> {
        let offered = self.request.headers.get_id(HeaderId::Upgrade).filter(|_| self.waits.upgrades);
        let Some(offered) = offered else {
            return Err("the service switched protocols without being asked");
        };
        if head.version != Version::HTTP_11 || !self.is_sent() {
            return Err("the service switched protocols before it could");
        }
        if !upgrade::is_granted(offered, head.headers.all_id(HeaderId::Upgrade)) {
            return Err("the service switched to a protocol that it was not asked for");
        }
        Ok(head)
    }

    /// The service ended the connection. Where the client kept it waiting, that is why.
    fn closed(&mut self, error: Option<io::Error>) -> Error {
        let failure = if self.upload.holds_up(clock::now(), self.waits) {
            Failure::new(Party::Client, CallPhase::Send, Cause::Stalled)
        } else {
            broken()
        };
        let source = match (self.broken.take(), error) {
            (Some(error), _) | (None, Some(error)) => error.to_string(),
            (None, None) => "closed before a response".to_owned(),
        };
        Error::from(self.reached(failure)).source(source)
    }

    /// The waits of this phase.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, Error>> {
        let is_sent = self.is_sent();
        let ends = Ends::of_head(&self.waits, self.upload, is_sent);
        if self.connection.timer.poll(ends.at(), cx).is_pending() {
            return Poll::Pending;
        }
        let failure = ends.without_head(self.upload, is_sent);
        Poll::Ready(Err(self.reached(failure).into()))
    }

    fn is_sent(&self) -> bool {
        self.upload.is_done() && self.connection.out.is_empty()
    }

    /// A failure, with how far the exchange has come.
    fn reached(&self, failure: Failure) -> Failure {
        let sent = match self.connection.out.written() {
            0 => Extent::Nothing,
            _ if self.is_sent() => Extent::Whole,
            _ => Extent::Part,
        };
        let nothing = self.connection.read.is_empty() && self.interim == 0;
        failure.after(sent, if nothing { Extent::Nothing } else { Extent::Part })
    }
}
