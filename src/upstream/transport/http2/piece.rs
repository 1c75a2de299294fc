//! Bytes of a request on their way through the library, which note when it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use crate::runtime::clock;
use crate::upstream::epoch::nanos;

/// How far the body of one request has come. The library's task and that of the exchange share it.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    handed: AtomicU64,
    taken: AtomicU64,
    /// When bytes were taken last, in nanoseconds from the start.
    at: AtomicU64,
}

impl Progress {
    /// Of a request that begins now.
    pub(super) fn new(started: Instant) -> Arc<Progress> {
        Arc::new(Progress {
            started,
            handed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            at: AtomicU64::new(0),
        })
    }

    /// Whether the library holds nothing that waits to be written.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire) == self.handed.load(Ordering::Relaxed)
    }

    /// When bytes were taken last.
    pub(super) fn moved(&self) -> Option<Instant> {
        if self.taken.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.started.checked_add(Duration::from_nanos(self.at.load(Ordering::Relaxed)))
    }

    fn took(&self, count: usize) {
        let at = nanos(clock::now().saturating_duration_since(self.started));
        self.at.store(at, Ordering::Relaxed);
        self.taken.fetch_add(count as u64, Ordering::Release);
    }
}

/// Bytes that are handed to the library.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl Piece {
    /// Bytes that count as unsent from here on.
    pub(super) fn new(bytes: Bytes, progress: &Arc<Progress>) -> Piece {
        progress.handed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Piece { bytes, progress: Arc::clone(progress) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count > 0 {
            self.progress.took(count);
        }
    }
}
