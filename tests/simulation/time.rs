//! Time that is made up: it passes when nothing else can happen, so nobody waits for it.

use std::time::{Duration, Instant};

use portcullis::runtime::time;

/// Lets so much time pass.
pub(crate) async fn pass(length: Duration) {
    time::sleep(length).await;
}

/// Lets time pass up to a moment.
pub(crate) async fn pass_until(moment: Instant) {
    time::sleep_until(moment).await;
}
