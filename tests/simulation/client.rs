//! Clients over HTTP/1 that do what their plan says.

use std::time::{Duration, Instant};

use portcullis::runtime::{clock, time};

use crate::network::End;
use crate::plan::{Client, Reads, Request, Upload};
use crate::seen::{Answer, Log};
use crate::service::framing;
use crate::time::pass;
use crate::wire::{Broken, Head, Wire, pattern};

/// How long a client that reads nothing keeps its connection.
pub(crate) const HOLDS: Duration = Duration::from_secs(15);

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
        for request in &plan.requests {
            pass(Duration::from_millis(request.pause)).await;
            self.log.note(self.now(), &format!("client sends {}", request.token));
            match self.request(request, &mut wire).await {
                Ok(Next::Request) => {}
                Ok(Next::Close) => break,
                Err(Broken(why)) => {
                    self.log.note(self.now(), &format!("client fails {}: {why}", request.token));
                    self.log.with(|seen| seen.failed.push((request.token, why)));
                    break;
                }
            }
        }
        if plan.resets {
            wire.end.abort();
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
        }
        head.push_str("\r\n");
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
        let head = wire.response().await?;
        let took = clock::now().saturating_duration_since(sent);
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
            aggregate: head.get("aggregate-status").map(str::to_owned),
        };
        self.log.with(|seen| seen.answers.push(answer));
    }

    async fn upload(&self, token: u64, body: &Upload, wire: &mut Wire) -> Result<(), Broken> {
        let all = pattern(token, 0, body.length);
        let (first, pause) = body.stalls.map_or((body.length, 0), |(at, pause)| (at, pause));
        self.piece(&all[..first], body.chunked, wire).await?;
        if pause > 0 {
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
