//! An answer that is kept, and how long it is good for.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;

use crate::exchange::Headers;

/// What an entry takes beside its head and body: its key twice, the places in the shard, the counts of references.
const OVERHEAD: u64 = 384;
/// What a line of a head takes beside its text.
const LINE: u64 = 16;

/// An answer that is kept.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its status.
    pub status: StatusCode,
    /// Its lines.
    pub headers: Headers,
    /// Its whole content.
    pub body: Bytes,
    /// When it was stored.
    pub stored: Instant,
    /// How old it was then (RFC 9111 section 4.2.3).
    pub age: Duration,
    /// It is fresh while it is younger than this.
    pub lifetime: Duration,
    /// It is of use for so long after that; then it is forgotten.
    pub keep: Duration,
}

impl Entry {
    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.stored))
    }

    /// Whether it may be given without asking.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.lifetime
    }

    /// For how long it has not been fresh; zero while it is.
    pub fn staleness(&self, now: Instant) -> Duration {
        self.age(now).saturating_sub(self.lifetime)
    }

    /// Whether it is of use still, fresh or not.
    pub fn is_kept(&self, now: Instant) -> bool {
        self.age(now) < self.lifetime.saturating_add(self.keep)
    }

    /// The same with this content.
    #[must_use]
    pub fn with_body(self, body: Bytes) -> Entry {
        Entry { body, ..self }
    }

    /// Bytes that it takes in the store.
    pub(super) fn size(&self) -> u64 {
        let (lines, bytes) = weight(&self.headers);
        OVERHEAD + bytes as u64 + lines as u64 * LINE + self.body.len() as u64
    }

    /// The same in memory that is no larger than it says: a body may be a small part of a large buffer.
    pub(super) fn compact(self) -> Entry {
        let (lines, bytes) = weight(&self.headers);
        let mut headers = Headers::with_capacity(lines, bytes);
        headers.extend_from(&self.headers, |_, _, _| true);
        let body = match self.body.try_into_mut() {
            Ok(own) if own.capacity() <= own.len() + own.len() / 16 + 64 => own.freeze(),
            Ok(own) => Bytes::copy_from_slice(&own),
            Err(shared) => Bytes::copy_from_slice(&shared),
        };
        Entry { headers, body, ..self }
    }
}

/// Bytes of a head: its lines as they go on the wire, and the index beside them.
fn weight(headers: &Headers) -> (usize, usize) {
    headers.iter().fold((0, 0), |(lines, bytes), (_, name, value)| {
        (lines + 1, bytes + name.len() + value.len() + ": \r\n".len())
    })
}
