//! One connection as the library drives it, from its handshake to its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::server::{Connection, Handshake};

use super::io::Io;
use super::stall::Piece;
use super::stream::Streaming;

/// A connection, and what its streams are served with.
pub(super) struct Driver {
    state: State,
    streaming: Streaming,
    /// Whether no further stream is to be taken.
    ends: bool,
}

// One of each connection, in a future that is boxed.
#[allow(clippy::large_enum_variant, reason = "the whole future is boxed")]
enum State {
    Handshaking(Handshake<Io, Piece>),
    Serving(Connection<Io, Piece>),
}

impl Driver {
    pub(super) fn new(handshake: Handshake<Io, Piece>, streaming: Streaming) -> Driver {
        Driver { state: State::Handshaking(handshake), streaming, ends: false }
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
                    Some(Err(_)) | None => return Poll::Ready(()),
                },
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
}
