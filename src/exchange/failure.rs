//! How a call to a service failed: who is at fault, when, and how far the exchange had come.
//!
//! A failure is decided once, where it is known, and travels inside [`Error`](super::Error). The circuit breaker, outlier detection,
//! the adaptive limit, retries, hedges, metrics, the log and aggregates all read it; none of them compares words.

use super::kind::ErrorKind;

/// Who is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// The client: it stalled, left, or broke a bound.
    Client,
    /// The service: it refused, broke off, broke HTTP, or was too slow.
    Service,
    /// The gateway: it lacked what it needs for the call.
    Gateway,
}

/// What the exchange was waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallPhase {
    /// A connection.
    Connect,
    /// The rest of the request, from the client or into the service.
    Send,
    /// The head of the response.
    Head,
    /// The rest of the response's body.
    Body,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// No connection could be opened; or, once it was there, the service has not begun with the request and never will
    /// (HTTP/2: it is above the last stream of a GOAWAY, or was reset with REFUSED_STREAM).
    Refused,
    /// A timeout of the upstream has passed: `connect`, `response` or `idle`.
    Timeout,
    /// The caller's own time is over: a route's or a source's `timeout`.
    Deadline,
    /// The connection broke.
    Reset,
    /// The message ended before it was whole: with its connection, or with its stream alone (HTTP/2: RST_STREAM).
    Incomplete,
    /// What came is no HTTP, or breaks a bound.
    Protocol,
    /// The content coding of the body is broken.
    Coding,
    /// The client sent nothing of what it owed for too long, or sent it too slowly.
    Stalled,
    /// The client left.
    Left,
    /// The process has no descriptor or port left.
    Exhausted,
    /// Every stream that may be opened to the endpoint is taken (HTTP/2).
    Full,
}

/// How much of a message has passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Extent {
    /// Not one byte.
    Nothing,
    /// A part.
    Part,
    /// All of it.
    Whole,
}

/// A failed call, or a failed attempt of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Who is at fault.
    pub party: Party,
    /// What the exchange was waiting for.
    pub phase: CallPhase,
    /// What happened.
    pub cause: Cause,
    /// How much of the request the service can have seen.
    pub sent: Extent,
    /// How much of the response came.
    pub received: Extent,
}

impl Failure {
    /// A failure in which nothing was sent or received.
    pub const fn new(party: Party, phase: CallPhase, cause: Cause) -> Failure {
        Failure { party, phase, cause, sent: Extent::Nothing, received: Extent::Nothing }
    }

    /// The same, with how far the exchange had come.
    #[must_use]
    pub const fn after(self, sent: Extent, received: Extent) -> Failure {
        Failure { sent, received, ..self }
    }

    /// What an error of the client's own body means.
    pub fn of_client(kind: ErrorKind) -> Failure {
        let cause = match kind {
            ErrorKind::RequestTimeout => Cause::Stalled,
            ErrorKind::ClientClosed => Cause::Left,
            _ => Cause::Protocol,
        };
        Failure::new(Party::Client, CallPhase::Send, cause)
    }

    /// Whether the service cannot have seen any of the request: sending it elsewhere repeats nothing.
    pub fn never_sent(&self) -> bool {
        self.sent == Extent::Nothing && self.received == Extent::Nothing
    }

    /// The kind of error that a client is answered with.
    pub fn kind(&self) -> ErrorKind {
        match (self.party, self.cause) {
            (Party::Client, Cause::Left) => ErrorKind::ClientClosed,
            (Party::Client, Cause::Stalled) if self.phase == CallPhase::Body => ErrorKind::ClientClosed,
            (Party::Client, Cause::Protocol) => ErrorKind::MalformedRequest,
            (Party::Client, Cause::Deadline) => ErrorKind::DeadlineExceeded,
            (Party::Client, _) => ErrorKind::RequestTimeout,
            (Party::Gateway, Cause::Exhausted | Cause::Full) => ErrorKind::Overloaded,
            (_, Cause::Timeout) => ErrorKind::UpstreamTimeout,
            (_, Cause::Deadline) => ErrorKind::DeadlineExceeded,
            _ => ErrorKind::UpstreamFailure,
        }
    }

    /// The word that refines the kind in the log.
    pub fn reason(&self) -> &'static str {
        match (self.phase, self.cause) {
            (_, Cause::Exhausted) => "descriptors",
            (_, Cause::Full) => "streams",
            (CallPhase::Connect, _) => "connect",
            (_, Cause::Protocol) if self.party == Party::Client => "body",
            (_, Cause::Protocol) => "protocol",
            (CallPhase::Body, Cause::Stalled) => "stalled",
            (_, Cause::Coding) => "coding",
            (_, Cause::Refused) => "refused",
            (_, Cause::Reset) => "reset",
            (_, Cause::Incomplete) => "incomplete",
            (_, Cause::Left) => "body",
            (CallPhase::Send, _) => "upload",
            (CallPhase::Head, _) => "response",
            (CallPhase::Body, _) => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_did_is_answered_as_such() {
        let failure = Failure::new(Party::Client, CallPhase::Send, Cause::Stalled);
        assert_eq!((failure.kind(), failure.reason()), (ErrorKind::RequestTimeout, "upload"));
        let left = Failure::of_client(ErrorKind::ClientClosed);
        assert_eq!((left.party, left.cause), (Party::Client, Cause::Left));
        assert_eq!(crate::exchange::Error::from(left).failure(), Some(left));
    }

    #[test]
    fn what_was_sent_or_answered_was_seen() {
        let failure = Failure::new(Party::Service, CallPhase::Head, Cause::Reset);
        assert!(failure.never_sent());
        assert!(!failure.after(Extent::Part, Extent::Nothing).never_sent());
        assert!(!failure.after(Extent::Nothing, Extent::Part).never_sent());
    }
}
