//! Moments as the documents of this room tell them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, as Prometheus tells time.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
