//! Services that do what a script says.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use portcullis::runtime::{clock, task};
use tokio::sync::mpsc;

use crate::network::End;
use crate::plan::Scenario;
use crate::seen::{Log, Visit};
use crate::time::pass;
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
}

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
        while let Some(head) = wire.request().await? {
            let Some(token) = head.token() else {
                let status = if self.is_ill(address) { 500 } else { 204 };
                wire.write(format!("HTTP/1.1 {status} Health\r\ncontent-length: 0\r\n\r\n")).await?;
                continue;
            };
            if !self.request(address, &mut wire, &head, token).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the health checks of an endpoint fail.
    fn is_ill(&self, address: SocketAddr) -> bool {
        self.scenario == Scenario::Hedged && address.ip().to_string() == "10.0.0.1"
    }

    fn deed(&self, address: SocketAddr, rng: &mut Rng) -> Deed {
        if self.is_ill(address) {
            return Deed::Status(500);
        }
        if self.scenario != Scenario::Faulty || self.now() >= self.well_from {
            return if rng.u8(0..10) == 0 && self.scenario == Scenario::Innocent {
                Deed::Interim
            } else {
                Deed::Good
            };
        }
        match rng.u8(0..24) {
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
            _ => Deed::Good,
        }
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        Duration::from_millis(match self.scenario {
            Scenario::Impatient => 400,
            Scenario::Queue => 100,
            Scenario::SlowConnect => rng.u64(200..300),
            Scenario::Hedged => {
                if rng.u8(0..10) == 0 {
                    400
                } else {
                    20
                }
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
        token: u64,
    ) -> Result<bool, Broken> {
        let number = self.log.with(|seen| {
            let earlier = seen.visits.iter().filter(|visit| visit.token == token).count();
            seen.visits.push(Visit { token, endpoint: address, at: self.now(), answered: None, deed: "" });
            (earlier, seen.visits.len() - 1)
        });
        let mut rng = Rng::with_seed(self.seed ^ token << 20 ^ (number.0 as u64) << 50);
        let deed = self.deed(address, &mut rng);
        self.log.note(self.now(), &format!("{address} gets {token} {:?}: {deed:?}", head.line));
        self.log.with(|seen| seen.visits[number.1].deed = deed.name());
        let delay = self.delay(&mut rng);
        if deed != Deed::Early {
            self.upload(wire, head, token).await?;
        }
        pass(delay).await;
        let answered = |service: &Self| {
            let at = service.now();
            service.log.with(|seen| seen.visits[number.1].answered = Some(at));
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
            Deed::Good | Deed::Early | Deed::BreaksOff | Deed::Stalls | Deed::Closes => {}
        }
        answered(self);
        self.answer(wire, deed, token, &mut rng).await?;
        if deed == Deed::Early {
            self.upload(wire, head, token).await?;
        }
        Ok(!matches!(deed, Deed::Closes | Deed::BreaksOff))
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

    async fn answer(&self, wire: &mut Wire, deed: Deed, token: u64, rng: &mut Rng) -> Result<(), Broken> {
        let length = match self.scenario {
            Scenario::Unread => 400_000,
            _ => [0, rng.usize(0..100), rng.usize(0..30_000), rng.usize(0..60_000)][rng.usize(0..4)],
        };
        let body = body(token, length);
        let broken = matches!(deed, Deed::BreaksOff | Deed::Stalls);
        let sent = if broken { rng.usize(0..body.len()) } else { body.len() };
        let chunked = rng.bool();
        let framing = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nx-sim: {token}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
        );
        if !chunked {
            let mut whole = head.into_bytes();
            whole.extend_from_slice(&body[..sent]);
            wire.write(whole).await?;
        } else {
            wire.write(head).await?;
            for piece in body[..sent].chunks(rng.usize(1..40_000)) {
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
            Deed::Good | Deed::Early | Deed::Interim => "good",
            Deed::Closes => "closes",
            Deed::Status(_) => "status",
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
