//! What an error of the library says of the exchange.

use h2::Reason;

use crate::exchange::{CallPhase, Cause, Failure, Party};

/// How a stream ended that was to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// The service has not begun with it and never will: it is above the last stream of a GOAWAY (RFC 9113 section
    /// 6.8), or was refused (section 8.7).
    Refused,
    /// The service has ended this stream alone (RST_STREAM).
    Stream,
    /// The session has ended with all of its streams.
    Session,
    /// What came breaks HTTP/2.
    Protocol,
    /// The library gave the session up, for more frames that hold little or nothing came than it bears: mostly those
    /// that wait for clients which take nothing.
    Crowded,
    /// The library refused what it was given: a fault of the gateway's own.
    Own,
}

impl Ending {
    /// What an error says.
    pub(super) fn of(error: &h2::Error) -> Ending {
        if error.is_io() {
            Ending::Session
        } else if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            Ending::Crowded
        } else if error.is_library() {
            Ending::Protocol
        } else if error.is_go_away() && error.is_remote() {
            // The library fails no other stream with it: those up to the last one go on.
            Ending::Refused
        } else if error.is_reset() && error.is_remote() {
            if error.reason() == Some(Reason::REFUSED_STREAM) { Ending::Refused } else { Ending::Stream }
        } else {
            Ending::Own
        }
    }

    /// The failure while the head was awaited.
    pub(super) fn before_head(self) -> Failure {
        let (party, phase, cause) = match self {
            Ending::Refused => (Party::Service, CallPhase::Send, Cause::Refused),
            Ending::Stream => (Party::Service, CallPhase::Head, Cause::Incomplete),
            Ending::Session => (Party::Service, CallPhase::Head, Cause::Reset),
            Ending::Protocol => (Party::Service, CallPhase::Head, Cause::Protocol),
            Ending::Crowded => (Party::Gateway, CallPhase::Head, Cause::Reset),
            Ending::Own => (Party::Gateway, CallPhase::Send, Cause::Protocol),
        };
        Failure::new(party, phase, cause)
    }

    /// The failure while the body came.
    pub(super) fn in_body(self) -> Failure {
        let (party, cause) = match self {
            Ending::Refused | Ending::Stream => (Party::Service, Cause::Incomplete),
            Ending::Session => (Party::Service, Cause::Reset),
            Ending::Crowded => (Party::Gateway, Cause::Reset),
            Ending::Protocol | Ending::Own => (Party::Service, Cause::Protocol),
        };
        Failure::new(party, CallPhase::Body, cause)
    }
}
