//! What keeps limits and the store of answers in order while nobody asks them, and what the operator is told of their Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pipeline::shed::Shed;
use crate::runtime::{clock, task, time};
use crate::snapshot::compile::Environment;
use crate::snapshot::{Live, Snapshot};
use crate::store::redis::link::Observer;
use crate::telemetry::OperatorLog;
use crate::upstream::background::discovery::Resolver;

/// How often leases that have ended are given back.
const BEAT: Duration = Duration::from_millis(100);
/// Beats between two looks through the keys and answers in memory.
const BEATS_PER_SWEEP: u32 = 50;

/// Tidies limits and the store of answers until the gate ends. Only the beat is kept on the control runtime: a table of
/// a million keys takes a while, and neither requests nor answers of the admin listener wait for it.
pub(super) async fn tidy(environment: Arc<Environment>) {
    let mut beat = time::interval(BEAT);
    for count in 0_u32.. {
        beat.tick().await;
        let environment = Arc::clone(&environment);
        let work = move || {
            environment.counters.tidy_shared(clock::now());
            if count % BEATS_PER_SWEEP == BEATS_PER_SWEEP - 1 {
                environment.counters.tidy();
                environment.cache.tidy(clock::now());
            }
        };
        // One beat at a time: the next one waits for this one. One that breaks down is made good by the next.
        let _ = task::spawn_blocking(work).await;
    }
}

/// Who is asked for the names of services.
pub(super) fn resolver(log: &OperatorLog) -> Resolver {
    let resolver = Resolver::system();
    if let Some(why) = resolver.fault() {
        log.warn(format_args!("only names of /etc/hosts and `localhost` are found: {why}"));
    }
    resolver
}

/// Waits until every upstream of the snapshot has endpoints or an answer that there are none, or until `end`, and
/// warns of those that have had no answer by then.
pub(super) async fn first_answers(snapshot: &Snapshot, end: Instant, log: &OperatorLog) {
    let mut missing = Vec::new();
    for upstream in &snapshot.upstreams {
        if !upstream.set().known(end).await {
            missing.push(format!("`{}`", upstream.settings().name));
        }
    }
    if !missing.is_empty() {
        let list = missing.join(", ");
        log.warn(format_args!(
            "the endpoints of {list} are not known yet: calls to them fail until they are"
        ));
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::runtime::Handle;

    use super::*;
    use crate::server::Source;
    use crate::telemetry::log::Level;
    use crate::upstream::Tools;
    use crate::upstream::background::discovery::testing::{A, Say, Server};

    const TEXT: &str = "
listen: 127.0.0.1:0
upstreams:
  written: { url: 'http://10.0.0.1' }
  known: { url: 'http://a.test' }
  absent: { url: 'http://b.test' }
  silent: { url: 'http://c.test' }
  other: { discover: { dns_srv: d.test } }
routes: { /: { upstream: written } }
";

    #[tokio::test]
    async fn the_start_waits_for_answers_and_no_longer_than_to_its_end() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&lines);
        let sink = move |line: &[u8]| seen.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
        let log = OperatorLog::start(false, Level::Warn, sink).unwrap();
        let server = Server::start();
        server.set("a.test", A, Say::addresses(60, &["10.0.0.2"]));
        for (name, kind) in [("c.test", A), ("d.test", 33)] {
            server.set(name, kind, Say::Nothing);
        }
        let environment = Environment::new(1);
        let source = Source::Text { path: "start.yaml".into(), text: TEXT.to_owned() };
        let snapshot = source.compile(None, &environment).snapshot.unwrap();
        let resolver = Resolver::with_nameserver(server.address);
        let tools = Tools { runtime: Handle::current(), resolver, log: Arc::clone(&log) };
        snapshot.start_upstreams(None, &tools);
        first_answers(&snapshot, clock::now() + Duration::from_secs(1), &log).await;
        let known = |at: usize| snapshot.upstreams[at].set().endpoints().len();
        assert_eq!([0, 1, 2, 3, 4].map(known), [1, 1, 0, 0, 0]);
        log.shutdown(Duration::from_secs(10));
        let lines = lines.lock().unwrap().join("\n");
        assert!(lines.contains("`absent` has no endpoints"), "{lines}");
        assert!(lines.contains("the endpoints of `silent`, `other` are not known yet"), "{lines}");
    }
}
