//! The terms of one exchange, whatever the protocol.

use std::time::{Duration, Instant};

use crate::config::AnswerLimits;
use crate::exchange::{Response, Term};

/// A client that kept the service waiting for so long is why the service breaks off.
pub(super) const PAUSED: Duration = Duration::from_millis(500);

/// What one exchange may wait for.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// When the caller's time is over. It is put off while an upload moves ([`Waits::upload_rate`]).
    pub deadline: Instant,
    /// Whether the caller waits for the whole response until then, and not for its head alone.
    pub whole: bool,
    /// What the deadline bounds.
    pub term: Term,
    /// From the request sent to the head of the response.
    pub response: Duration,
    /// The longest gap between two pieces of a body.
    pub idle: Duration,
    /// Bytes a second that an upload must move to put the deadline off.
    pub upload_rate: u64,
    /// Whether the request offers other protocols: its connection then carries nothing else.
    pub upgrades: bool,
    /// How large the head of the response may be.
    pub limits: AnswerLimits,
    /// When the exchange began: its connection was there.
    pub started: Instant,
}

/// The head of a response, or all of it.
pub struct Exchanged {
    /// The response.
    pub response: Response,
    /// When the last piece of an upload moved before the head came: the service's own time begins then.
    pub uploaded: Option<Instant>,
    /// Whether the service answered while the client kept it waiting for the rest of the request: what it then says of
    /// itself is the client's doing.
    pub client_stalled: bool,
}
