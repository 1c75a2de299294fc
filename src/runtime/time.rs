//! Timers: what waits for a moment or no longer than a while.

use std::future::Future;
use std::time::{Duration, Instant};

pub use tokio::time::error::Elapsed;
pub use tokio::time::{Interval, MissedTickBehavior, Sleep};

/// Waits so long.
pub fn sleep(length: Duration) -> Sleep {
    tokio::time::sleep(length)
}

/// Waits until a moment.
pub fn sleep_until(moment: Instant) -> Sleep {
    tokio::time::sleep_until(moment.into())
}

/// Waits for a future, no longer than so long.
///
/// # Errors
/// The time has passed.
pub async fn timeout<F: Future>(length: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(length, future).await
}

/// Waits for a future until a moment.
///
/// # Errors
/// The moment has passed.
pub async fn timeout_at<F: Future>(moment: Instant, future: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout_at(moment.into(), future).await
}

/// Ticks at once and then once every `period`. A tick that comes late moves the later ones.
pub fn interval(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
