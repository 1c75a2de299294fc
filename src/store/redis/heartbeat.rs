//! How replicas know of each other: each tells once a second that it is there, and is told how many are.
//!
//! The same call is the probe that finds out whether the server is back: it does what a request needs, it reads and
//! writes, and so a server that is loading, full or a mere replica does not pass.

use std::time::Duration;

use crate::runtime::time::timeout;
use crate::runtime::{clock, random};
use redis::{RedisError, Value};

use super::connect::Wire;
use super::script::{Scripts, is_unknown};

/// Between two heartbeats.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Between two probes while the server is away.
pub(super) const PROBE: Duration = Duration::from_millis(250);
/// How long a replica that is silent still counts, in milliseconds.
const LIFE: u64 = 5000;

/// What came of a heartbeat.
pub(super) enum Beat {
    /// So many replicas are there; how long the answer took.
    Answered(u64, Duration),
    /// No answer in time.
    Silent,
    /// An error.
    Failed(RedisError),
    /// An answer that is none.
    Nonsense,
}

/// Who beats.
pub(super) struct Heart {
    key: Vec<u8>,
    id: String,
}

impl Heart {
    pub(super) fn new(namespace: &str) -> Heart {
        let id = format!("{:016x}{:016x}", random::u64(..), random::u64(..));
        Heart { key: format!("{namespace}:replicas").into_bytes(), id }
    }

    /// One heartbeat, given up after `patience`.
    pub(super) async fn beat(&self, mut wire: Wire, scripts: &Scripts, patience: Duration) -> Beat {
        let begun = clock::now();
        let ask = async {
            match wire.ask(&scripts.heartbeat(&self.key, &self.id, LIFE, false)).await {
                Err(error) if is_unknown(&error) => {
                    wire.ask(&scripts.heartbeat(&self.key, &self.id, LIFE, true)).await
                }
                other => other,
            }
        };
        match timeout(patience, ask).await {
            Ok(Ok(Value::Int(replicas))) => {
                Beat::Answered(u64::try_from(replicas).unwrap_or(1).max(1), clock::since(begun))
            }
            Ok(Ok(_)) => Beat::Nonsense,
            Ok(Err(error)) if error.is_timeout() => Beat::Silent,
            Ok(Err(error)) => Beat::Failed(error),
            Err(_) => Beat::Silent,
        }
    }
}
