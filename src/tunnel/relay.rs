//! A tunnel from its first byte to its end: both directions, its bounds, and what becomes of it when the process ends.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::frames::{goodbye_of_client, goodbye_of_server};
use super::lane::{Broken, Lane};
use crate::exchange::{Channel, Ended, EndedBy};
use crate::net::ReadBuffer;
use crate::runtime::{clock, random};

/// A side that was sent a Close frame has this long to answer it, and the client of a WebSocket whose service has gone may pause
/// for so long.
const PARTING: Duration = Duration::from_secs(2);

/// The bounds of a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest time in which no byte passes.
    pub idle: Duration,
    /// When it ends in any case.
    pub until: Option<Instant>,
}

/// What a tunnel is moved with.
pub struct Moment<'a> {
    /// The client's connection.
    pub client: &'a mut dyn Channel,
    /// The service's.
    pub service: &'a mut dyn Channel,
    /// Where the core reads into.
    pub room: &'a RefCell<ReadBuffer>,
    /// Whether the process is ending.
    pub draining: bool,
}

/// A tunnel. It holds no more than one read of each side.
pub struct Relay {
    /// From the client to the service.
    up: Lane,
    /// From the service to the client.
    down: Lane,
    bounds: Bounds,
    websocket: bool,
    /// When a byte passed last.
    last: Instant,
    /// Who ended it, once somebody has begun to.
    ended: Option<Ended>,
    /// Whether the gateway has said goodbye.
    leaves: bool,
    /// When it is over, whatever is still under way.
    over: Option<Instant>,
    /// When the service ended its side.
    down_ended: Option<Instant>,
}

impl Relay {
    /// A tunnel that begins now. `early` is what client and service have sent already.
    pub fn new(early: [bytes::BytesMut; 2], websocket: bool, bounds: Bounds) -> Relay {
        let [of_client, of_service] = early;
        Relay {
            up: Lane::new(of_client, websocket),
            down: Lane::new(of_service, websocket),
            bounds,
            websocket,
            last: clock::now(),
            ended: None,
            leaves: false,
            over: None,
            down_ended: None,
        }
    }

    /// Bytes that have passed: to the service, and to the client.
    pub fn moved(&self) -> (u64, u64) {
        (self.up.moved(), self.down.moved())
    }

    /// Moves bytes until the tunnel has ended. `timer` is ready once a time has come.
    pub fn poll(
        &mut self,
        with: &mut Moment<'_>,
        mut timer: impl FnMut(Instant, &mut Context<'_>) -> Poll<()>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended> {
        loop {
            if with.draining && self.websocket && !self.leaves {
                self.leave("drain");
            }
            let before = self.moved();
            let up = self.up.poll(with.client, with.service, with.room, cx);
            let down = self.down.poll(with.service, with.client, with.room, cx);
            if self.moved() != before {
                self.last = clock::now();
            }
            self.note();
            if self.down.is_ended() {
                self.down_ended.get_or_insert_with(clock::now);
            }
            match (up, down) {
                // What breaks one direction ends both: neither side learns otherwise that it is not whole.
                (Poll::Ready(Err(broken)), _) => return Poll::Ready(self.broke(broken, EndedBy::Client)),
                (_, Poll::Ready(Err(broken))) => return Poll::Ready(self.broke(broken, EndedBy::Service)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(self.ended_by_both()),
                _ => {}
            }
            self.bound_the_end();
            let (at, why) = self.deadline();
            ready!(timer(at, cx));
            match why {
                "over" => {
                    // Both have been sent a Close frame; what one of them still sends is of no interest.
                    for side in [&mut *with.client, &mut *with.service] {
                        let _ = Pin::new(side).poll_shutdown(cx);
                    }
                    return Poll::Ready(self.ended_by_both());
                }
                _ if !self.websocket || self.leaves => {
                    let ended = Ended { by: EndedBy::Gateway, how: why };
                    return Poll::Ready(*self.ended.get_or_insert(ended));
                }
                _ => {
                    self.leave(why);
                    self.over = Some(clock::now() + PARTING);
                }
            }
        }
    }

    /// Says goodbye to both sides, between two frames.
    fn leave(&mut self, how: &'static str) {
        self.leaves = true;
        self.ended.get_or_insert(Ended { by: EndedBy::Gateway, how });
        self.up.say_goodbye(goodbye_of_client(random::u32(..).to_be_bytes()));
        self.down.say_goodbye(goodbye_of_server());
    }

    /// Notes who was the first to end it.
    fn note(&mut self) {
        let by = match (self.up.is_closing(), self.down.is_closing()) {
            _ if self.ended.is_some() => return,
            (true, _) => EndedBy::Client,
            (false, true) => EndedBy::Service,
            (false, false) => return,
        };
        self.ended = Some(Ended { by, how: "close" });
    }

    /// Sides that the gateway has sent a Close frame are not waited for as long as `idle`.
    fn bound_the_end(&mut self) {
        if self.over.is_none() && self.leaves && self.up.is_parted() && self.down.is_parted() {
            self.over = Some(clock::now() + PARTING);
        }
    }

    /// When the next bound is reached, and which.
    fn deadline(&self) -> (Instant, &'static str) {
        let idle = (self.last + self.bounds.idle, "idle");
        // A WebSocket whose service has ended its side has nothing more to say to its client, which has to end its own.
        let gone = self.down_ended.filter(|_| self.websocket);
        let gone = gone.map(|ended| (self.last.max(ended) + PARTING, "over"));
        let until = self.bounds.until.map(|until| (until, "total"));
        match self.over {
            Some(over) => (over, "over"),
            None => [gone, until].into_iter().flatten().fold(idle, std::cmp::min),
        }
    }

    fn broke(&mut self, broken: Broken, sender: EndedBy) -> Ended {
        let by = match (broken, sender) {
            (Broken::Sender, sender) => sender,
            (Broken::Taker, EndedBy::Client) => EndedBy::Service,
            (Broken::Taker, _) => EndedBy::Client,
        };
        *self.ended.get_or_insert(Ended { by, how: "reset" })
    }

    fn ended_by_both(&mut self) -> Ended {
        *self.ended.get_or_insert(Ended { by: EndedBy::Gateway, how: "close" })
    }
}
