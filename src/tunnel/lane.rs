//! One direction of a tunnel: what one side sends goes to the other, at the pace of the one that takes it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};

use super::frames::Frames;
use crate::exchange::Channel;
use crate::net::ReadBuffer;

/// How many pieces go through in one turn, before the other direction and other connections have theirs.
const PIECES: usize = 16;

/// One direction. It holds what was read and not taken, one read at most, and reads nothing more meanwhile.
pub(super) struct Lane {
    held: BytesMut,
    /// Where what passes is WebSocket.
    frames: Option<Frames>,
    /// The gateway's last frame, which goes out behind the frame that is under way.
    goodbye: Option<Vec<u8>>,
    state: State,
    /// Whether something was written that may still lie in the connection's own buffer.
    unflushed: bool,
    /// Bytes that were taken by the other side.
    moved: u64,
    /// How many of those that are held are the gateway's own.
    own: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// The gateway has said goodbye: what still comes is read, until its sender has said goodbye too, and thrown away.
    Parted,
    /// The sender has ended its side, which the other is to see once it has taken everything.
    Ending,
    Ended,
}

/// Which side of a lane broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    Sender,
    Taker,
}

impl Lane {
    /// A lane whose sender has sent these bytes already.
    pub(super) fn new(early: BytesMut, websocket: bool) -> Lane {
        let mut frames = websocket.then(Frames::default);
        if let Some(frames) = &mut frames {
            frames.follow(&early, false);
        }
        let state = State::Open;
        // Empty, it may still have the room of a read.
        let early = if early.is_empty() { BytesMut::new() } else { early };
        Lane { held: early, frames, goodbye: None, state, unflushed: false, moved: 0, own: 0 }
    }

    /// How many bytes of the sender the other side has taken.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the sender has ended its side, or said that it will send nothing more.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.state, State::Ending | State::Ended)
            || self.frames.as_ref().is_some_and(Frames::is_closing)
    }

    /// Whether the sender has said goodbye, to its end.
    fn is_closed(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::is_closed)
    }

    /// Whether the taker has all that it will get: the last frame, of its sender or of the gateway, or the end.
    pub(super) fn is_parted(&self) -> bool {
        (self.state != State::Open || self.is_closing()) && self.held.is_empty() && !self.unflushed
    }

    /// Whether everything is over.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Has the gateway say goodbye behind the frame that is under way, unless the sender does or has ended.
    pub(super) fn say_goodbye(&mut self, frame: Vec<u8>) {
        if self.state == State::Open && !self.is_closing() {
            self.goodbye = Some(frame);
        }
    }

    /// Moves what can be moved. Ready once the lane has ended.
    ///
    /// # Errors
    /// The side that broke.
    pub(super) fn poll(
        &mut self,
        sender: &mut dyn Channel,
        taker: &mut dyn Channel,
        room: &RefCell<ReadBuffer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..PIECES {
            ready!(self.poll_write(taker, cx)).map_err(|_| Broken::Taker)?;
            if self.part() {
                continue;
            }
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    // One that is gone already is as finished as it can be.
                    let _ = ready!(Pin::new(&mut *taker).poll_shutdown(cx));
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Open | State::Parted => {}
            }
            let mut room = room.borrow_mut();
            match ready!(room.poll_fill(Pin::new(&mut *sender), cx)) {
                // One that is asked to go may do it in any way, and one that has said goodbye has nothing more to say:
                // many leave without `close_notify` then.
                Err(_) if self.state == State::Parted || self.is_closed() => self.state = State::Ending,
                Err(_) => return Poll::Ready(Err(Broken::Sender)),
                Ok(()) if room.bytes().is_empty() => self.state = State::Ending,
                Ok(()) if self.state == State::Parted => self.discard(room.bytes()),
                Ok(()) => self.pass(room.bytes(), taker, cx).map_err(|_| Broken::Taker)?,
            }
        }
        // There may be more: this task goes on after the others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is held.
    fn poll_write(&mut self, taker: &mut dyn Channel, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            while !self.held.is_empty() {
                let wrote = ready!(Pin::new(&mut *taker).poll_write(cx, &self.held))?;
                self.wrote(wrote)?;
                self.held.advance(wrote);
            }
            self.held = BytesMut::new();
            self.moved -= std::mem::take(&mut self.own);
        }
        if self.unflushed {
            ready!(Pin::new(&mut *taker).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, wrote: usize) -> io::Result<()> {
        if wrote == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.moved += wrote as u64;
        self.unflushed = true;
        Ok(())
    }

    /// Says goodbye where that is due and no frame is under way; whether it did.
    fn part(&mut self) -> bool {
        if self.goodbye.is_none() || self.state != State::Open {
            return false;
        }
        if self.is_closing() {
            self.goodbye = None;
            return false;
        }
        if !self.frames.as_ref().is_some_and(Frames::is_between) {
            return false;
        }
        if let Some(goodbye) = self.goodbye.take() {
            self.own = goodbye.len() as u64;
            self.held.extend_from_slice(&goodbye);
        }
        self.state = State::Parted;
        true
    }

    /// Passes a piece on: as much of it as is taken at once, the rest is held.
    fn pass(&mut self, bytes: &[u8], taker: &mut dyn Channel, cx: &mut Context<'_>) -> io::Result<()> {
        let stop = self.goodbye.is_some();
        let length = self.frames.as_mut().map_or(bytes.len(), |frames| frames.follow(bytes, stop));
        let (bytes, rest) = bytes.split_at(length);
        let mut left = bytes;
        while !left.is_empty() {
            match Pin::new(&mut *taker).poll_write(cx, left) {
                Poll::Ready(wrote) => {
                    let wrote = wrote?;
                    self.wrote(wrote)?;
                    left = &left[wrote..];
                }
                Poll::Pending => break,
            }
        }
        self.held.extend_from_slice(left);
        if rest.is_empty() {
            return Ok(());
        }
        if self.part() {
            self.discard(rest);
        } else {
            // The frame that ended here is the sender's own goodbye, and nothing should follow it.
            if let Some(frames) = &mut self.frames {
                frames.follow(rest, false);
            }
            self.held.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Takes no more of a piece than whether its sender has said goodbye.
    fn discard(&mut self, bytes: &[u8]) {
        if let Some(frames) = &mut self.frames {
            frames.follow(bytes, false);
            if frames.is_closed() {
                self.state = State::Ending;
            }
        }
    }
}

#[cfg(test)]
mod tests;
