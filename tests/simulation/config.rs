//! The configuration of a world.

use std::time::Duration;

use crate::plan::{Change, Scenario};

/// The most requests of `/limited` in ten seconds.
pub(crate) const LIMIT: usize = 5;

/// The window of `/limited`.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// The limit of `/sliding`, `/fixed` and `/bucket` in [`MANY_WINDOW`], and the burst of the last.
pub(crate) const MANY: usize = 8;
pub(crate) const MANY_WINDOW: Duration = Duration::from_secs(2);
pub(crate) const MANY_BURST: usize = 5;

/// The most attempts that a call may make.
pub(crate) const ATTEMPTS: usize = 3;

/// The share of `retry.budget`, and that of `hedge.max` where calls are raced.
pub(crate) const RETRIED: f64 = 0.2;
pub(crate) const RACED: f64 = 0.1;

/// `timeouts.connect` and `timeouts.idle`, in milliseconds.
pub(crate) const CONNECT: u64 = 500;
pub(crate) const IDLE: u64 = 2000;

/// `timeouts.response` in milliseconds.
pub(crate) fn response(scenario: Scenario) -> u64 {
    if scenario == Scenario::SlowConnect { 500 } else { 1500 }
}

/// The `timeout` of a source in milliseconds.
pub(crate) const SOURCE: u64 = 2000;

/// The bounds of the listener in milliseconds: a connection without a request, and a head.
pub(crate) const CLIENT_IDLE: u64 = 4000;
pub(crate) const CLIENT_HEAD: u64 = 2000;

/// `limits.body_timeout` in milliseconds: it comes before or after `timeouts.idle` of the upstream.
pub(crate) fn client_body(scenario: Scenario) -> u64 {
    if matches!(scenario, Scenario::Moving | Scenario::Refusing) { 1000 } else { 3000 }
}

/// Failures in a row that open the breaker where it is followed, how many calls probe any, and for how long it is open.
pub(crate) const ROW: u32 = 3;
pub(crate) const PROBING: usize = 2;
pub(crate) const OPEN: Duration = Duration::from_secs(2);

/// Calls under way and waiting calls where they queue, and for how long they wait.
pub(crate) const PLACES: u32 = 2;
pub(crate) const UNREAD: u32 = 3;
pub(crate) const WAITING: u32 = 5;
pub(crate) const QUEUED: Duration = Duration::from_millis(300);

/// What stands in for a source that failed.
pub(crate) const FALLBACK: &str = r#"{"stands_in":true}"#;

/// The text, after these changes.
pub(crate) fn config(scenario: Scenario, changes: &[Change]) -> String {
    let response = response(scenario);
    let timeouts = changes.iter().filter(|change| **change == Change::Timeout).count();
    let weight = 1 + changes.iter().filter(|change| **change == Change::Weight).count() % 2;
    let moved = changes.iter().filter(|change| **change == Change::Nothing).count();
    let endpoints = match scenario {
        Scenario::Impatient | Scenario::SlowConnect | Scenario::Queue => {
            format!(r#"[{{ url: "http://10.0.0.1:80", weight: {weight} }}]"#)
        }
        Scenario::Moving => format!(r#"[{{ url: "http://a.sim:80", weight: {weight} }}]"#),
        _ => format!(r#"["http://10.0.0.1:80", {{ url: "http://10.0.0.2:80", weight: {weight} }}]"#),
    };
    let breaker = match scenario {
        // A single failure would be seen.
        Scenario::Faulty => {
            "{ consecutive: 3, ratio: 50%, min_requests: 6, window: 5s, open: 2s, probes: 2 }"
        }
        Scenario::Impatient => {
            "{ consecutive: 3, ratio: 90%, min_requests: 50, window: 5s, open: 2s, probes: 2 }"
        }
        Scenario::Hedged | Scenario::Retried => "{ consecutive: 1000, ratio: 100%, min_requests: 1000 }",
        Scenario::Tripped => {
            "{ consecutive: 3, ratio: 100%, min_requests: 1000, window: 5s, open: 2s, probes: 2 }"
        }
        _ => "{ consecutive: 1, ratio: 1%, min_requests: 1, window: 5s, open: 2s, probes: 2 }",
    };
    let more = match scenario {
        Scenario::Queue => "concurrency: { adaptive: true, queue: 1000, queue_timeout: 20s }",
        Scenario::Hedged => {
            "hedge: { after: p80, max: 100% }, health: { path: /healthz, every: 300ms, timeout: 200ms, healthy: 1, unhealthy: 1 }"
        }
        Scenario::Unread => "concurrency: { max: 3, queue: 0 }",
        Scenario::Queued => "concurrency: { max: 2, queue: 5, queue_timeout: 300ms }",
        Scenario::Raced => "hedge: { after: p50, max: 10% }, outliers: { consecutive: 1, eject: 1s }",
        Scenario::Retried | Scenario::Tripped => "balance: random",
        Scenario::Faulty => "outliers: { consecutive: 2, eject: 1s }",
        _ => "outliers: { consecutive: 1, eject: 1s }",
    };
    let attempts = if scenario == Scenario::Tripped { 1 } else { ATTEMPTS };
    let retry = format!(
        r#"{{ attempts: {attempts}, retry_on: [connect, reset, timeout, 503], budget: 20%, backoff: 10ms..30ms, unsafe: '"x-again" in request.headers' }}"#
    );
    let body = client_body(scenario);
    let limits = format!("{{ idle: 4s, head_timeout: 2s, body_timeout: {body}ms }}");
    let idle = IDLE as usize + timeouts;
    let source = |upstream: &str, more: &str| {
        format!(
            r#"{{ upstream: {upstream}, path: "/{{n}}", timeout: 2s, forward_headers: [x-sim], deadline_header: x-left{more} }}"#
        )
    };
    let (one, two) = (source("a", ""), source("b", ""));
    let (needed, kept) = (source("a", ", required: true"), source("b", &format!(", fallback: {FALLBACK}")));
    let comments = "# Nothing but a remark.\n\n".repeat(moved);
    format!(
        r#"{comments}listeners:
  public:
    listen: 127.0.0.1:1
    limits: {limits}
    interim: all
    routes:
      /a/*: {{ upstream: a, timeout: 3s }}
      /impatient/*: {{ upstream: a, timeout: 300ms }}
      /b/*: {{ upstream: b, timeout: 3s }}
      /limited/*: {{ upstream: b, timeout: 3s, policies: {{ rate_limit: few }} }}
      /sliding/*: {{ upstream: b, timeout: 3s, policies: {{ rate_limit: sliding }} }}
      /fixed/*: {{ upstream: b, timeout: 3s, policies: {{ rate_limit: fixed }} }}
      /bucket/*: {{ upstream: b, timeout: 3s, policies: {{ rate_limit: bucket }} }}
      /both/{{n}}:
        timeout: 3s
        aggregate: {{ mode: partial, sources: {{ one: {one}, two: {two} }} }}
      /kept/{{n}}:
        timeout: 3s
        aggregate: {{ mode: partial, sources: {{ one: {needed}, two: {kept} }} }}
      /all/{{n}}:
        timeout: 3s
        aggregate: {{ sources: {{ one: {one}, two: {two} }} }}
rate_limits:
  few: {{ limit: {LIMIT}, window: 10s, key: route }}
  sliding: {{ limit: {MANY}, window: 2s, key: route }}
  fixed: {{ limit: {MANY}, window: 2s, key: route, algorithm: fixed_window }}
  bucket: {{ limit: {MANY}, window: 2s, key: route, algorithm: token_bucket, burst: {MANY_BURST} }}
{comments}upstreams:
  a: {{ endpoints: {endpoints}, retry: {retry}, timeouts: {{ connect: {CONNECT}ms, response: {response}ms, idle: {idle}ms }}, breaker: {breaker}, {more} }}
  b: {{ url: "http://10.0.1.1:80", retry: {retry}, timeouts: {{ connect: {CONNECT}ms, response: {response}ms, idle: {idle}ms }}, breaker: {breaker}, {more} }}
"#
    )
}
