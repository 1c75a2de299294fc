//! One connection as the library drives it, from its handshake to its end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use h2::server::{Builder, Connection, Handshake};

use super::io::{Io, Shared};
use super::stall::Piece;
use super::stream::Streaming;

/// A connection, and what its streams are served with.
pub(super) struct Driver {
    state: State,
    streaming: Streaming,
    shared: Rc<Shared>,
    /// Whether no further stream is to be taken.
    ends: bool,
    /// Whether the library has ended the connection for a fault of the client's.
    refused: bool,
}

// One of each connection, in a future that is boxed.
#[allow(clippy::large_enum_variant, reason = "the whole future is boxed")]
enum State {
    Handshaking(Handshake<Io, Piece>),
    Serving(Connection<Io, Piece>),
    /// The library's memory is free, and its streams have ended.
    Released,
}

impl Driver {
    pub(super) fn new(builder: &Builder, io: Io, streaming: Streaming) -> Driver {
        let shared = io.shared();
        let state = State::Handshaking(builder.handshake(io));
        Driver { state, streaming, shared, ends: false, refused: false }
    }

    /// Takes what the client sends and starts the task of each stream; ready once the connection has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Handshaking(handshake) => {
                    let Ok(mut connection) = ready!(Pin::new(handshake).poll(cx)) else {
                        return Poll::Ready(());
                    };
                    if self.ends {
                        connection.graceful_shutdown();
                    }
                    self.state = State::Serving(connection);
                }
                State::Serving(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, reply))) => self.streaming.start(request, reply),
                    Some(Err(error)) => {
                        self.refused = error.is_go_away() && error.is_library();
                        return Poll::Ready(());
                    }
                    None => return Poll::Ready(()),
                },
                State::Released => return Poll::Ready(()),
            }
        }
    }

    /// Announces that no further stream is taken; those under way go on.
    pub(super) fn shut_down(&mut self) {
        self.ends = true;
        if let State::Serving(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Whether the library has ended the connection for a fault of the client's.
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }

    /// Ends the connection and all of its streams, and sends the reason; ready once the socket has taken that.
    pub(super) fn abort(&mut self, reason: Reason, cx: &mut Context<'_>) -> Poll<()> {
        self.refused = reason != Reason::NO_ERROR;
        match &mut self.state {
            State::Handshaking(_) => {
                self.shared.go_away(reason, cx);
                Poll::Ready(())
            }
            State::Serving(connection) => {
                connection.abrupt_shutdown(reason);
                self.poll(cx)
            }
            State::Released => Poll::Ready(()),
        }
    }

    /// Frees what the library holds of the connection.
    pub(super) fn release(&mut self) {
        self.state = State::Released;
    }
}
