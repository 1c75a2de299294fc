//! How long a connection to an address of a name is used.

use std::time::Duration;

use crate::runtime::random;

/// How long a connection may be used again and again where its address is what a name means today, at least and at
/// most: a service that moves is then followed also by callers that never stop, and not by all of them at once.
const LIFETIME: std::ops::Range<u64> = 40_000..60_000;

/// How long a new connection to an address of a name may live.
pub(in crate::upstream) fn lifetime() -> Duration {
    Duration::from_millis(random::u64(LIFETIME))
}
