//! Clients over HTTP/1 that do what their plan says.

use std::time::{Duration, Instant};

use portcullis::runtime::{clock, time};

use crate::check::SLACK;
use crate::config::{CLIENT_HEAD, CLIENT_IDLE};
use crate::network::End;
use crate::plan::{Client, Ends, Reads, Request, Upload};
use crate::seen::{Answer, Log};
use crate::service::framing;
use crate::time::pass;
use crate::tunnel::{Side, asks, cut, talk};
use crate::wire::{Broken, Head, Wire, pattern};

/// How long a client that reads nothing keeps its connection.
pub(crate) const HOLDS: Duration = Duration::from_secs(15);

/// How long the gateway may read on after it has answered for the last time.
const LINGERS: Duration = Duration::from_millis(2500);

/// A client at work.
pub(crate) struct Caller {
    pub(crate) log: Log,
    pub(crate) began: Instant,
}

/// What is left of the connection.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

impl Caller {
    pub(crate) fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// Sends the requests of a plan over one connection.
    pub(crate) async fn serve(&self, plan: &Client, end: End) {
        let mut wire = Wire::new(end);
        let mut goes_on = true;
        for request in &plan.requests {
            pass(Duration::from_millis(request.pause)).await;
            self.log.note(self.now(), &format!("client sends {}", request.token));
            self.log.with(|seen| seen.sent.insert(request.token, self.now()));
            match self.request(request, &mut wire).await {
                Ok(Next::Request) => {}
                Ok(Next::Close) => goes_on = false,
                Err(Broken(why)) => {
                    goes_on = false;
                    self.log.note(self.now(), &format!("client fails {}: {why}", request.token));
                    self.log.with(|seen| seen.failed.push((request.token, why)));
                }
            }
            if !goes_on {
                break;
            }
        }
        match plan.ends {
            Ends::Closes => {}
            Ends::Resets => wire.end.abort(),
            _ if !goes_on => {}
            Ends::Stays => self.stays(wire, None).await,
            Ends::HalfHead(length) => {
                let head = "GET /a/0 HTTP/1.1\r\nhost: gw.sim\r\nx-pad: of no interest\r\nx-sim: 0\r\n";
                let sent = wire.write(&head[..length.min(head.len())]).await;
                self.stays(wire, sent.ok().map(|()| CLIENT_HEAD)).await;
            }
        }
    }

    /// Waits until the gateway ends a connection on which nothing, or half a head, was asked for: in this time it has to
    /// answer the half head, and to end the connection soon after.
    async fn stays(&self, mut wire: Wire, half: Option<u64>) {
        let began = clock::now();
        let (said, answered) = wire.rest(began).await;
        let took = clock::now().saturating_duration_since(began);
        let of_half =
            said.starts_with(b"HTTP/1.1 408 ") && !said[1..].windows(5).any(|five| five == b"HTTP/");
        if !(said.is_empty() || half.is_some() && of_half) {
            self.log.fault(format!("a client got an answer to nothing: {}", String::from_utf8_lossy(&said)));
        }
        let most = Duration::from_millis(half.unwrap_or(CLIENT_IDLE) + SLACK);
        if answered.unwrap_or(took) > most {
            let what = if half.is_some() { "half a head" } else { "nothing" };
            self.log.fault(format!(
                "the gateway waited {took:?} for a client that sends {what}, at most {most:?}"
            ));
        }
        if took > most + LINGERS {
            self.log.fault(format!("the gateway ended a connection of half a head after {took:?}"));
        }
    }

    async fn request(&self, request: &Request, wire: &mut Wire) -> Result<Next, Broken> {
        if let Some(after) = request.leaves {
            let limit = Duration::from_millis(after);
            return match time::timeout(limit, self.whole(request, wire)).await {
                Ok(done) => done,
                Err(_) => Err(Broken("leaves".to_owned())),
            };
        }
        self.whole(request, wire).await
    }

    async fn whole(&self, request: &Request, wire: &mut Wire) -> Result<Next, Broken> {
        let token = request.token;
        let method = if request.body.is_some() { "POST" } else { "GET" };
        let mut head =
            format!("{method} {} HTTP/1.1\r\nhost: gw.sim\r\nx-sim: {token}\r\n", request.route.path(token));
        if let Some(body) = &request.body {
            head.push_str(&framing(body.chunked, body.length));
            head.push_str(if body.again { "x-again: 1\r\n" } else { "" });
        }
        let mut later = Vec::new();
        if let Some(tunnel) = &request.tunnel {
            head.push_str(&asks(tunnel));
        }
        head.push_str("\r\n");
        let mut head = head.into_bytes();
        if let Some(tunnel) = &request.tunnel {
            let (early, rest) = cut(tunnel, token, Side::Client);
            head.extend(early);
            later = rest;
        }
        wire.write(head).await?;
        if let Some(body) = &request.body {
            // What an early answer says is read, whatever becomes of the upload.
            if let Err(Broken(why)) = self.upload(token, body, wire).await {
                self.log.note(self.now(), &format!("client could not send all of {token}: {why}"));
            }
        }
        let sent = clock::now();
        match request.reads {
            Reads::AtOnce => {}
            Reads::Late(after) => {
                pass(Duration::from_millis(after)).await;
            }
            Reads::Never => {
                pass(HOLDS).await;
                return Err(Broken("reads nothing".to_owned()));
            }
        }
        let mut head = wire.response().await?;
        while head.status < 200 && head.status != 101 {
            self.log.note(self.now(), &format!("client gets {} before the answer to {token}", head.status));
            head = wire.response().await?;
        }
        let took = clock::now().saturating_duration_since(sent);
        if let (101, Some(tunnel)) = (head.status, &request.tunnel) {
            let heard = talk(tunnel, token, Side::Client, later, wire).await;
            let body = Ok(heard.bytes.clone());
            self.log.with(|seen| seen.tunnels.insert((token, Side::Client), (heard, self.now())));
            self.answered(token, &head, took, body);
            return Ok(Next::Close);
        }
        let body = wire.body(head.framing(true)).await.map_err(|Broken(why)| why);
        let goes_on = body.is_ok() && head.get("connection") != Some("close");
        self.answered(token, &head, took, body);
        Ok(if goes_on { Next::Request } else { Next::Close })
    }

    fn answered(&self, token: u64, head: &Head, took: Duration, body: Result<Vec<u8>, String>) {
        let length = body.as_ref().map_or(0, Vec::len);
        self.log.note(
            self.now(),
            &format!("client gets {token}: {} with {length} bytes ({})", head.status, body.is_ok()),
        );
        let answer = Answer {
            token,
            status: head.status,
            bears: head.token(),
            body,
            took,
            ended: self.now(),
            aggregate: head.get("aggregate-status").map(str::to_owned),
            cache_control: head.get("cache-control").map(str::to_owned),
        };
        self.log.with(|seen| seen.answers.push(answer));
    }

    async fn upload(&self, token: u64, body: &Upload, wire: &mut Wire) -> Result<(), Broken> {
        let all = pattern(token, 0, body.length);
        let (first, pause) = body.stalls.map_or((body.length, 0), |(at, pause)| (at, pause));
        self.piece(&all[..first], body.chunked, wire).await?;
        if pause > 0 {
            self.log.with(|seen| seen.stalled.insert(token, self.now()));
            pass(Duration::from_millis(pause)).await;
        }
        self.piece(&all[first..], body.chunked, wire).await?;
        if body.chunked {
            wire.write("0\r\n\r\n").await?;
        }
        Ok(())
    }

    async fn piece(&self, bytes: &[u8], chunked: bool, wire: &mut Wire) -> Result<(), Broken> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !chunked {
            return wire.write(bytes).await;
        }
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        wire.write(chunk).await
    }
}
