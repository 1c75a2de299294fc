//! Services that do what a script says.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use portcullis::runtime::{clock, task};
use tokio::sync::mpsc;

use crate::network::End;
use crate::plan::{Parts, SCENARIOS, Scenario, Tunnel};
use crate::seen::{Log, Visit};
use crate::time::pass;
use crate::tunnel::{Side, asked, cut, protocol, talk};
use crate::wire::{Broken, Framing, Head, Wire, pattern};

/// What a service does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Good,
    /// Answers before it has read the body, and reads on.
    Early,
    Interim,
    Status(u16),
    /// Closes, or resets, without an answer.
    Leaves,
    Resets,
    /// Never answers.
    Hangs,
    HalfHead,
    /// Says something that is no HTTP.
    Nonsense,
    /// Breaks off in the body, or stops there.
    BreaksOff,
    Stalls,
    /// Answers and closes without saying so.
    Closes,
    /// Ends the connection where its answer is not taken for a while, or fails where the request does not come.
    Hurried,
    /// Answers, says that this was the last of the connection, and takes nothing more.
    Last,
    /// Answers with a long body that comes slowly.
    Slow,
    /// Answers, and says more than it was asked for.
    Extra,
    /// Reads nothing of the body.
    Deaf,
}

/// The pause before each piece of a slow body: less than `timeouts.idle`, and more in all.
const SLOW: Duration = Duration::from_millis(800);

/// How long a service keeps a connection after its last answer.
const LAST: Duration = Duration::from_millis(400);

/// How long a service reads nothing before it ends the connection.
const DEAF: Duration = Duration::from_secs(6);

/// How long a service in a hurry waits until a piece of its answer is taken, and for a piece of a request.
const HURRY: Duration = Duration::from_millis(1500);
const BORED: Duration = Duration::from_secs(1);

/// What all services of a world share.
pub(crate) struct Services {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) log: Log,
    pub(crate) began: Instant,
    /// From when on every service does what it should.
    pub(crate) well_from: Duration,
}

impl Services {
    fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// Serves the connections of one address.
    pub(crate) fn serve(self: &Rc<Self>, address: SocketAddr, mut accepted: mpsc::UnboundedReceiver<End>) {
        let services = Rc::clone(self);
        task::spawn_local(async move {
            while let Some(end) = accepted.recv().await {
                let services = Rc::clone(&services);
                task::spawn_local(async move {
                    let _ = services.connection(address, Wire::new(end)).await;
                });
            }
        });
    }

    async fn connection(&self, address: SocketAddr, mut wire: Wire) -> Result<(), Broken> {
        let mut reused = false;
        let mut rng = Rng::with_seed(self.seed ^ self.now().as_nanos() as u64);
        loop {
            if reused
                && self.scenario == Scenario::Innocent
                && self.now() < self.well_from
                && rng.u8(0..8) == 0
            {
                // It may close a connection that rests, and a request may meet that.
                wire.wait().await?;
                let closed = (address, self.now());
                self.log.note(self.now(), &format!("{address} closes a connection"));
                self.log.with(|seen| seen.closed.push(closed));
                break;
            }
            let Some(head) = wire.request().await? else { break };
            let Some(token) = head.token() else {
                let status = if self.is_ill(address) { 500 } else { 204 };
                wire.write(format!("HTTP/1.1 {status} Health\r\ncontent-length: 0\r\n\r\n")).await?;
                continue;
            };
            let number = self.log.with(|seen| {
                let left = head.get("x-left").and_then(|left| left.parse().ok());
                let (at, deed) = (self.now(), "");
                seen.visits.push(Visit {
                    token,
                    endpoint: address,
                    at,
                    answered: None,
                    ended: None,
                    read: false,
                    deed,
                    reused,
                    left,
                });
                seen.visits.len() - 1
            });
            let goes_on = self.request(address, &mut wire, &head, (token, number)).await;
            self.log.with(|seen| seen.visits[number].ended = Some(self.now()));
            reused = true;
            if !goes_on? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the health checks of an endpoint fail.
    fn is_ill(&self, address: SocketAddr) -> bool {
        self.scenario == Scenario::Hedged && address.ip().to_string() == "10.0.0.1"
    }

    fn deed(&self, (address, token): (SocketAddr, u64), rng: &mut Rng) -> Deed {
        if self.is_ill(address) {
            return Deed::Status(500);
        }
        match self.scenario {
            _ if self.now() >= self.well_from => return Deed::Good,
            Scenario::Faulty => {}
            // A service may answer early, break off what is not taken, and close a connection that rests.
            Scenario::Innocent => {
                return match rng.u8(0..12) {
                    0 => Deed::Interim,
                    9 => Deed::Closes,
                    1 | 2 => Deed::Early,
                    3..=6 => Deed::Hurried,
                    7 => Deed::Last,
                    8 => Deed::Slow,
                    _ => Deed::Good,
                };
            }
            Scenario::Retried => {
                return match (self.seed / SCENARIOS.len() as u64 % 3, rng.u8(0..3)) {
                    (0, _) | (2, 0 | 1) => Deed::Status(503),
                    (1, _) => Deed::Leaves,
                    _ => Deed::Good,
                };
            }
            Scenario::Tripped => {
                // Some calls in a row fail, and a few in between.
                let block = Rng::with_seed(self.seed ^ (token / 8) << 32).bool();
                let fails = if rng.bool() { Deed::Status(503) } else { Deed::BreaksOff };
                // Of its statuses only some speak against a service.
                let works = if rng.u8(0..4) == 0 { Deed::Status(500) } else { Deed::Good };
                return if block != (rng.u8(0..8) == 0) { fails } else { works };
            }
            _ => return Deed::Good,
        }
        match rng.u8(0..28) {
            0 => Deed::Early,
            1 => Deed::Status(503),
            2 => Deed::Status(500),
            3 => Deed::Leaves,
            4 => Deed::Resets,
            5 => Deed::Hangs,
            6 => Deed::HalfHead,
            7 => Deed::Nonsense,
            8 => Deed::BreaksOff,
            9 => Deed::Stalls,
            10 | 11 => Deed::Closes,
            12 => Deed::Interim,
            13..=15 => Deed::Extra,
            16 | 17 => Deed::Deaf,
            _ => Deed::Good,
        }
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        Duration::from_millis(match self.scenario {
            Scenario::Impatient => 400,
            Scenario::Queue => 100,
            Scenario::SlowConnect => rng.u64(200..300),
            Scenario::Tripped => 20,
            Scenario::Queued => 150,
            Scenario::Drained => rng.u64(300..1000),
            Scenario::Limited => rng.u64(0..20),
            Scenario::Hedged | Scenario::Raced => {
                if rng.u8(0..10) < if self.scenario == Scenario::Raced { 4 } else { 1 } { 400 } else { 20 }
            }
            _ => rng.u64(0..150),
        })
    }

    /// Whether the connection goes on.
    async fn request(
        &self,
        address: SocketAddr,
        wire: &mut Wire,
        head: &Head,
        (token, number): (u64, usize),
    ) -> Result<bool, Broken> {
        let earlier =
            self.log.with(|seen| seen.visits[..number].iter().filter(|visit| visit.token == token).count());
        let mut rng = Rng::with_seed(self.seed ^ token << 20 ^ (earlier as u64) << 50);
        if let Some(tunnel) = asked(head) {
            return self.tunnel(wire, &tunnel, (token, number), &mut rng).await;
        }
        let deed = self.deed((address, token), &mut rng);
        self.log.note(self.now(), &format!("{address} gets {token} {:?}: {deed:?}", head.line));
        self.log.with(|seen| seen.visits[number].deed = deed.name());
        let delay = self.delay(&mut rng);
        match deed {
            Deed::Early => {}
            Deed::Deaf => {
                pass(DEAF).await;
                return Ok(false);
            }
            Deed::Hurried => self.bored(wire, head, token, &mut rng).await?,
            _ => self.upload(wire, head, token).await?,
        }
        self.log.with(|seen| seen.visits[number].read = deed != Deed::Early);
        pass(delay).await;
        let answered = |service: &Self| {
            let at = service.now();
            service.log.with(|seen| seen.visits[number].answered = Some(at));
        };
        match deed {
            Deed::Leaves => return Ok(false),
            Deed::Resets => {
                wire.end.abort();
                return Ok(false);
            }
            Deed::Hangs => {
                wire.until_closed().await;
                return Ok(false);
            }
            Deed::HalfHead => {
                wire.write("HTTP/1.1 200 OK\r\ncontent-le").await?;
                return Ok(false);
            }
            Deed::Nonsense => {
                wire.write("this is no answer\r\n\r\n").await?;
                wire.until_closed().await;
                return Ok(false);
            }
            Deed::Status(status) => {
                answered(self);
                wire.write(format!("HTTP/1.1 {status} No\r\nx-sim: {token}\r\ncontent-length: 0\r\n\r\n"))
                    .await?;
                return Ok(true);
            }
            Deed::Interim => wire.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await?,
            _ => {}
        }
        answered(self);
        let is_source = head.get("x-left").is_some();
        wire.patience = (deed == Deed::Hurried).then_some(HURRY);
        let sent = self.answer(wire, (deed, is_source), token, &mut rng).await;
        if wire.patience.take().is_some() && sent.is_err() {
            wire.end.abort();
        }
        sent?;
        if deed == Deed::Early {
            self.upload(wire, head, token).await?;
        }
        if deed == Deed::Last {
            pass(LAST).await;
        }
        if deed == Deed::Closes {
            self.log.with(|seen| seen.closed.push((address, self.now())));
        }
        Ok(!matches!(deed, Deed::Closes | Deed::BreaksOff | Deed::Last))
    }

    /// Switches to the protocol that it is asked for, or refuses to.
    async fn tunnel(
        &self,
        wire: &mut Wire,
        tunnel: &Tunnel,
        (token, number): (u64, usize),
        rng: &mut Rng,
    ) -> Result<bool, Broken> {
        self.log.note(self.now(), &format!("a service gets {token}: {tunnel:?}"));
        pass(self.delay(rng)).await;
        let refused = tunnel.parts == Parts::Refused;
        self.log.with(|seen| {
            let visit = &mut seen.visits[number];
            (visit.deed, visit.read, visit.answered) = ("tunnel", true, Some(self.now()));
        });
        if refused {
            wire.write(format!("HTTP/1.1 404 No\r\nx-sim: {token}\r\ncontent-length: 0\r\n\r\n")).await?;
            return Ok(true);
        }
        let (early, later) = cut(tunnel, token, Side::Service);
        let mut head = format!(
            "HTTP/1.1 101 Switching\r\nx-sim: {token}\r\nconnection: upgrade\r\nupgrade: {}\r\n\r\n",
            protocol(tunnel)
        )
        .into_bytes();
        head.extend(early);
        wire.write(head).await?;
        let heard = talk(tunnel, token, Side::Service, later, wire).await;
        self.log.note(self.now(), &format!("a service has heard {} bytes in {token}", heard.raw));
        self.log.with(|seen| seen.tunnels.insert((token, Side::Service), (heard, self.now())));
        Ok(false)
    }

    /// Reads the body as one that soon gives up: it then fails, or goes without a word.
    async fn bored(&self, wire: &mut Wire, head: &Head, token: u64, rng: &mut Rng) -> Result<(), Broken> {
        wire.patience = Some(BORED);
        let read = self.upload(wire, head, token).await;
        wire.patience = None;
        if read.is_err() && rng.bool() {
            wire.write("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        }
        read
    }

    /// Reads the body, which must be that of its request.
    async fn upload(&self, wire: &mut Wire, head: &Head, token: u64) -> Result<(), Broken> {
        let body = wire.body(head.framing(false)).await?;
        if body != pattern(token, 0, body.len()) {
            self.log.fault(format!("the body of request {token} reached its service with other bytes"));
        }
        if let Some(wanted) = head.get("x-length").and_then(|length| length.parse::<usize>().ok())
            && wanted != body.len()
        {
            self.log.fault(format!("the body of request {token} has {} bytes of {wanted}", body.len()));
        }
        Ok(())
    }

    async fn answer(
        &self,
        wire: &mut Wire,
        (deed, is_source): (Deed, bool),
        token: u64,
        rng: &mut Rng,
    ) -> Result<(), Broken> {
        let length = match self.scenario {
            Scenario::Unread => 400_000,
            // Not for a source, whose time is short for so much over a connection with little room.
            _ if deed == Deed::Hurried && !is_source && rng.bool() => 400_000,
            _ => [0, rng.usize(0..100), rng.usize(0..30_000), rng.usize(0..60_000)][rng.usize(0..4)],
        };
        let body = body(token, length);
        let broken = matches!(deed, Deed::BreaksOff | Deed::Stalls);
        let sent = if broken { rng.usize(0..body.len()) } else { body.len() };
        let chunked = deed == Deed::Slow || rng.bool();
        let framing = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let last = if deed == Deed::Last { "connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nx-sim: {token}\r\ncontent-type: application/json\r\n{last}{framing}\r\n\r\n"
        );
        if deed == Deed::Extra {
            let mut whole = head.into_bytes();
            if chunked {
                whole.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            }
            whole.extend_from_slice(&body);
            whole.extend_from_slice(if chunked { b"\r\n0\r\n\r\n" } else { b"" });
            whole.extend_from_slice(b"HTTP/1.1 200 OK\r\nx-sim: 0\r\ncontent-length: 2\r\n\r\n{}");
            // In one piece: what comes once the connection carries the next request cannot be distinguished from its answer.
            wire.end.write_at_once(whole);
        } else if !chunked {
            let mut whole = head.into_bytes();
            whole.extend_from_slice(&body[..sent]);
            wire.write(whole).await?;
        } else {
            wire.write(head).await?;
            let most = if deed == Deed::Slow { body.len().div_ceil(4) } else { rng.usize(1..40_000) };
            for piece in body[..sent].chunks(most) {
                if deed == Deed::Slow && !is_source {
                    pass(SLOW).await;
                }
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                wire.write(chunk).await?;
            }
            if !broken {
                wire.write("0\r\n\r\n").await?;
            }
        }
        if deed == Deed::Stalls {
            wire.until_closed().await;
            return Err(Broken("stalls".to_owned()));
        }
        Ok(())
    }
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Deed::Good | Deed::Interim | Deed::Extra | Deed::Last | Deed::Slow => "good",
            Deed::Hurried => "hurried",
            Deed::Early => "early",
            Deed::Closes => "closes",
            Deed::Status(503) => "503",
            Deed::Status(_) => "500",
            Deed::Deaf => "deaf",
            Deed::BreaksOff | Deed::Stalls => "breaks",
            Deed::Leaves | Deed::Resets | Deed::Hangs | Deed::HalfHead | Deed::Nonsense => "nothing",
        }
    }
}

/// The whole body of the answer to a request: JSON, so that it can be composed.
pub(crate) fn body(token: u64, length: usize) -> Vec<u8> {
    let pad = String::from_utf8(pattern(token, 3, length)).expect("letters");
    format!(r#"{{"token":{token},"pad":"{pad}"}}"#).into_bytes()
}

/// Whether these bytes are the answer to a request, whole.
pub(crate) fn is_body(bytes: &[u8], token: u64) -> bool {
    let frame = body(token, 0).len();
    bytes.len() >= frame && bytes == body(token, bytes.len() - frame)
}

/// How the body of a request is framed.
pub(crate) fn framing(chunked: bool, length: usize) -> String {
    match if chunked { Framing::Chunked } else { Framing::Length(length) } {
        Framing::Length(length) => format!("content-length: {length}\r\nx-length: {length}\r\n"),
        _ => format!("transfer-encoding: chunked\r\nx-length: {length}\r\n"),
    }
}
