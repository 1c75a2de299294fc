//! What limits need beside requests: somebody who hears of Redis, and somebody who tidies up.

use std::sync::Arc;
use std::time::Duration;

use crate::snapshot::compile::Environment;
use crate::store::SystemClock;
use crate::store::redis::link::Observer;
use crate::store::registry::Registry;
use crate::telemetry::OperatorLog;

use super::control::Control;

/// Between two looks at what was leased from Redis.
const SETTLE: Duration = Duration::from_millis(100);
/// Between two looks where there are no limits in Redis.
const IDLE: Duration = Duration::from_secs(1);
/// Between two sweeps of what is in memory.
const SWEEP: Duration = Duration::from_secs(3);

/// Tells the operator how Redis fares.
struct Told(Arc<OperatorLog>);

impl Observer for Told {
    fn down(&self, why: &str) {
        self.0.warn(format_args!("Redis is away: {why}; limits with store: redis follow when_store_fails"));
    }

    fn up(&self, away: Duration) {
        self.0.info(format_args!("Redis is back after {away:.1?}"));
    }
}

/// The environment of a process that serves.
pub(super) fn environment(cores: usize, log: &Arc<OperatorLog>) -> Environment {
    let observer = Arc::new(Told(Arc::clone(log)));
    Environment {
        log: Some(Arc::clone(log)),
        counters: Arc::new(Registry::new(Arc::new(SystemClock), observer)),
        ..Environment::new(cores)
    }
}

/// Tidies up for the life of the process.
pub(super) async fn keep(control: Control) {
    let mut swept = tokio::time::Instant::now();
    loop {
        let pause = if control.counters().settle() { SETTLE } else { IDLE };
        if swept.elapsed() >= SWEEP {
            let counters = Arc::clone(control.counters());
            // Many keys take their time, and the control runtime has others to answer.
            let _ = tokio::task::spawn_blocking(move || counters.tidy()).await;
            swept = tokio::time::Instant::now();
        }
        tokio::time::sleep(pause).await;
    }
}
