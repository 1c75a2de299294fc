//! The facts of one exchange that its log line and its metrics tell.

use std::time::Instant;

use super::attempts::Attempts;
use super::error::Error;
use super::kind::ErrorKind;
use super::tunnel::Ended;

/// Written while the exchange runs, told when its body has ended.
#[derive(Debug)]
pub struct Record {
    /// When the first byte of the head was seen.
    pub started: Instant,
    /// The status that was sent, 0 where none was.
    pub status: u16,
    /// The gate's own error, if it made one.
    pub error: Option<ErrorKind>,
    /// The word that refines the error.
    pub reason: &'static str,
    /// The private part of the error.
    pub source: Option<Box<str>>,
    /// What went wrong on the way without being an error: an expression that could not be read. The first of them.
    pub note: Option<Box<str>>,
    /// Bytes of the request's body that were read; of a tunnel those that went to the service.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were sent; of a tunnel those that went to the client.
    pub bytes_out: u64,
    /// How it ended, where it had become a tunnel.
    pub tunnel: Option<Ended>,
    /// How a call of gRPC has ended, as its status.
    pub grpc: Option<u8>,
    /// The upstream that was called, as its number in the snapshot.
    pub upstream: Option<u32>,
    /// The attempts of its calls.
    pub attempts: Attempts,
}

impl Record {
    /// A record that starts now.
    pub fn new(started: Instant) -> Record {
        Record {
            started,
            status: 0,
            error: None,
            reason: "",
            source: None,
            note: None,
            bytes_in: 0,
            bytes_out: 0,
            tunnel: None,
            grpc: None,
            upstream: None,
            attempts: Attempts::default(),
        }
    }

    /// Notes an error; the first one stays, for it is the cause.
    pub fn note(&mut self, error: &Error) {
        if self.error.is_none() {
            self.error = Some(error.kind());
            self.reason = error.why();
            self.source = error.private_source().map(Into::into);
        }
    }
}
