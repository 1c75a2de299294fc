//! What keeps limits and the store of answers in order while nobody asks them, and what the operator is told of their Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::pipeline::shed::Shed;
use crate::runtime::{clock, time};
use crate::snapshot::compile::Environment;
use crate::snapshot::{Live, Snapshot};
use crate::store::redis::link::Observer;
use crate::telemetry::OperatorLog;
use crate::upstream::Tools;
use crate::upstream::background::discovery::Resolver;

/// How often leases that have ended are given back.
const BEAT: Duration = Duration::from_millis(100);
/// Beats between two looks through the keys and answers in memory.
const BEATS_PER_SWEEP: u32 = 50;

/// Tidies limits and the store of answers until the gate ends. On the control runtime: no request waits for it.
pub(super) async fn tidy(environment: Arc<Environment>) {
    let mut beat = time::interval(BEAT);
    for count in 0_u32.. {
        beat.tick().await;
        environment.counters.tidy_shared(clock::now());
        if count % BEATS_PER_SWEEP == BEATS_PER_SWEEP - 1 {
            environment.counters.tidy();
            environment.cache.tidy(clock::now());
        }
    }
}

/// What the background work of upstreams needs. It runs where this is called: on the control runtime.
pub(super) fn tools(log: &Arc<OperatorLog>) -> Tools {
    let resolver = Resolver::system();
    if let Some(why) = resolver.fault() {
        log.warn(format_args!("only names of /etc/hosts and `localhost` are found: {why}"));
    }
    Tools { runtime: Handle::current(), resolver, log: Arc::clone(log) }
}

/// Begins the background work of upstreams that are new in a snapshot; those that take the place of one in `before`
/// take over what that has under way.
pub(super) fn start_background(environment: &Environment, before: Option<&Snapshot>, snapshot: &Snapshot) {
    let Some(tools) = &environment.tools else { return };
    snapshot.start_upstreams(before, tools);
}

/// Waits until every upstream of the snapshot has endpoints or an answer that there are none, or until `end`, and
/// warns of those without endpoints.
pub(super) async fn first_answers(snapshot: &Snapshot, end: Instant, log: &OperatorLog) {
    for upstream in &snapshot.upstreams {
        upstream.set().known(end).await;
    }
    let missing = snapshot.upstreams.iter().filter(|upstream| upstream.set().endpoints().is_empty());
    let missing: Vec<String> = missing.map(|upstream| format!("`{}`", upstream.settings().name)).collect();
    if !missing.is_empty() {
        log.warn(format_args!("no endpoints are known of {}: their calls fail", missing.join(", ")));
    }
}

/// Looks at the memory of the process where it is bounded, until the gate ends.
pub(super) async fn watch_memory(live: Arc<Live>, shed: Arc<Shed>) {
    let mut beat = time::interval(BEAT);
    loop {
        beat.tick().await;
        if let Some(most) = live.get().sources.config.overload.max_memory {
            // Where it cannot be told there is nothing to go by.
            shed.notes(resident().is_some_and(|resident| resident > most));
        }
    }
}

/// The resident memory of the process in bytes, as Linux tells it.
fn resident() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = told.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Tells the operator when Redis goes away and comes back.
pub(super) struct Told(pub(super) Arc<OperatorLog>);

impl Observer for Told {
    fn down(&self, why: &str) {
        self.0.warn(format_args!("Redis is away: {why}; limits in it follow their `when_store_fails`"));
    }

    fn up(&self, away: Duration) {
        self.0.info(format_args!("Redis is back after {:.1} s: limits are shared again", away.as_secs_f64()));
    }
}
