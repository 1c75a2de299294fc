//! What an exchange becomes once its service has switched protocols: bytes in both directions until either side ends it.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

/// One side of a tunnel. Its `poll_shutdown` says that nothing more will be sent; dropped before that, it is reset.
pub trait Channel: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Channel for T {}

/// The service's side of a tunnel, in the place of the body of a 101 (RFC 9110 section 15.2.2).
pub struct Tunnel {
    /// The connection to the service.
    pub service: Box<dyn Channel>,
    /// What the service has sent behind its 101 and was read with it.
    pub early: BytesMut,
    /// Whether what passes are frames of WebSocket (RFC 6455 section 5).
    pub websocket: bool,
    /// The longest time in which no byte passes.
    pub idle: Duration,
    /// How long it may last in all; no bound where there is none.
    pub total: Option<Duration>,
    /// What is held as long as it lasts.
    pub guard: Option<Box<dyn Any>>,
}

/// Who has ended a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// The client.
    Client,
    /// The service.
    Service,
    /// The gateway: a bound was reached, or the process ends.
    Gateway,
}

/// How a tunnel has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// By whom.
    pub by: EndedBy,
    /// In one word, for the log.
    pub how: &'static str,
}

impl EndedBy {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndedBy::Client => "client",
            EndedBy::Service => "service",
            EndedBy::Gateway => "gateway",
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("websocket", &self.websocket).finish_non_exhaustive()
    }
}
